"""Virtual machines through Vagrant, on VirtualBox or libvirt."""
