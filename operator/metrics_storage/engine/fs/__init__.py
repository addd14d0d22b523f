"""Files and directories by descriptor: durable writes, walking and removing what somebody hostile has filled."""
