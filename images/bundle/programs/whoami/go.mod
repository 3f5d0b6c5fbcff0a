module labctl/whoami

go 1.19
