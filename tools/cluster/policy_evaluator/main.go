// Evaluates ValidatingAdmissionPolicies with the API server's own admission plugin, without a server.
//
// Standard input is a JSON object with `policies` and `bindings` as in manifests, and then one object for each request;
// standard output is one line of JSON for each, as they come. Policies and bindings reach the plugin as in a server,
// through informers, here on a client that keeps them in memory; so matching, match conditions, expressions and
// messages are those of the real thing. Authorization is what each request lists as `grants`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

type input struct {
	Policies []*admissionregistration.ValidatingAdmissionPolicy        `json:"policies"`
	Bindings []*admissionregistration.ValidatingAdmissionPolicyBinding `json:"bindings"`
}

type request struct {
	Operation   admission.Operation    `json:"operation"`
	Resource    string                 `json:"resource"`
	Subresource string                 `json:"subresource"`
	User        string                 `json:"user"`
	Groups      []string               `json:"groups"`
	Grants      []string               `json:"grants"` // "verb path", for paths that are no resources
	Object      map[string]interface{} `json:"object"`
	OldObject   map[string]interface{} `json:"oldObject"`
}

type answer struct {
	Allowed bool   `json:"allowed"`
	Message string `json:"message"`
}

// grants is how a request's grants travel with its user to the authorizer, which gets nothing else of the request.
const grants = "grants"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	given, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var installed input
	if err := given.Decode(&installed); err != nil {
		return fmt.Errorf("policies and bindings: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plugin, err := start(ctx, installed)
	if err != nil {
		return err
	}
	for {
		var asked request
		if err := given.Decode(&asked); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		if err := answers.Encode(ask(ctx, plugin, asked)); err != nil {
			return err
		}
	}
}

func start(ctx context.Context, given input) (*validating.Plugin, error) {
	stored := []runtime.Object{&core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "runners"}}}
	for _, policy := range given.Policies {
		setDefaults(policy.Spec.MatchConstraints)
		stored = append(stored, policy)
	}
	for _, binding := range given.Bindings {
		setDefaults(binding.Spec.MatchResources)
		stored = append(stored, binding)
	}
	client := fake.NewClientset(stored...)
	factory := informers.NewSharedInformerFactory(client, 0)
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		return nil, err
	}
	plugin.SetExternalKubeClientSet(client)
	plugin.SetExternalKubeInformerFactory(factory)
	plugin.SetRESTMapper(meta.NewDefaultRESTMapper(nil))
	plugin.SetDynamicClient(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()))
	plugin.SetDrainedNotification(ctx.Done())
	plugin.SetAuthorizer(authorizer.AuthorizerFunc(authorize))
	if err := plugin.ValidateInitialization(); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	// The plugin compiles what the informers bring in the background; a policy that is not there yet allows all.
	for end := time.Now().Add(20 * time.Second); !plugin.WaitForReady(); {
		if time.Now().After(end) {
			return nil, fmt.Errorf("the admission plugin does not become ready")
		}
	}
	return plugin, nil
}

// setDefaults does what the API server does to what it stores.
func setDefaults(match *admissionregistration.MatchResources) {
	if match == nil {
		return
	}
	equivalent, all := admissionregistration.Equivalent, admissionregistration.AllScopes
	if match.MatchPolicy == nil {
		match.MatchPolicy = &equivalent
	}
	if match.NamespaceSelector == nil {
		match.NamespaceSelector = &metav1.LabelSelector{}
	}
	if match.ObjectSelector == nil {
		match.ObjectSelector = &metav1.LabelSelector{}
	}
	for i := range match.ResourceRules {
		if match.ResourceRules[i].Scope == nil {
			match.ResourceRules[i].Scope = &all
		}
	}
}

func authorize(_ context.Context, asked authorizer.Attributes) (authorizer.Decision, string, error) {
	for _, grant := range asked.GetUser().GetExtra()[grants] {
		if !asked.IsResourceRequest() && grant == asked.GetVerb()+" "+asked.GetPath() {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func ask(ctx context.Context, plugin *validating.Plugin, asked request) answer {
	object, oldObject := convert(asked.Object), convert(asked.OldObject)
	named := object
	if named == nil {
		named = oldObject
	}
	accessor, err := meta.Accessor(named)
	if err != nil {
		return answer{false, err.Error()}
	}
	kind := named.GetObjectKind().GroupVersionKind()
	resource := schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: asked.Resource}
	attributes := admission.NewAttributesRecord(
		object, oldObject, kind, accessor.GetNamespace(), accessor.GetName(), resource, asked.Subresource,
		asked.Operation, nil, false,
		&user.DefaultInfo{Name: asked.User, Groups: asked.Groups, Extra: map[string][]string{grants: asked.Grants}},
	)
	if err := plugin.Validate(ctx, attributes, admission.NewObjectInterfacesFromScheme(runtime.NewScheme())); err != nil {
		return answer{false, err.Error()}
	}
	return answer{true, ""}
}

// convert gives an untyped nil for what is absent, as the API server does.
func convert(object map[string]interface{}) runtime.Object {
	if object == nil {
		return nil
	}
	return &unstructured.Unstructured{Object: object}
}
