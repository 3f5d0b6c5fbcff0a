# -*- mode: ruby -*-
# vi: set ft=ruby :

# Machines of the lab k8s-lab, written by labctl: change lab.yml, not this file, which is written anew.
# It makes machines and sets nothing up inside them; Ansible does that (`labctl provision`).

lab = {
  name: "k8s-lab",
  uuid: "00000000-0000-4000-8000-000000000001",
  owner: "/home/reader/lab",
}

nodes = [
  { name: "m-k8s", address: "192.168.56.10", cpus: 2, memory: 3072 },
  { name: "w1-k8s", address: "192.168.56.101", cpus: 1, memory: 2560 },
  { name: "w2-k8s", address: "192.168.56.102", cpus: 1, memory: 2560 },
]

Vagrant.configure("2") do |config|
  config.vm.box = "labctl/debian-12-0123abcd"
  config.vm.box_url = "file:///home/reader/.cache/labctl/boxes/debian-12-libvirt/box.box"
  config.vm.box_download_checksum = "0000000000000000000000000000000000000000000000000000000000000000"
  config.vm.box_download_checksum_type = "sha256"
  config.vm.box_check_update = false
  config.vm.boot_timeout = 300
  config.vm.synced_folder ".", "/vagrant", disabled: true
  # Vagrant replaces the public key that every box carries by one of its own, for each machine.
  config.ssh.insert_key = true

  nodes.each do |node|
    config.vm.define node[:name] do |machine|
      machine.vm.hostname = node[:name]
      # Copies that go one way: Vagrant brings them at each start, `labctl provision` to machines that run.
      if ["m-k8s", "w1-k8s", "w2-k8s"].include?(node[:name])
        machine.vm.synced_folder "/usr/share", "/data", type: "rsync", rsync__auto: false
      end
      if ["w1-k8s", "w2-k8s"].include?(node[:name])
        machine.vm.synced_folder "/usr/lib", "/srv/lib", type: "rsync", rsync__auto: false
      end
      machine.vm.network "private_network",
        ip: node[:address],
        libvirt__netmask: "255.255.255.0",
        libvirt__network_name: "labctl-00000000",
        libvirt__host_ip: "192.168.56.1",
        libvirt__dhcp_enabled: false,
        libvirt__forward_mode: "none"

      machine.vm.provider "libvirt" do |libvirt|
        libvirt.uri = "qemu:///system"
        libvirt.default_prefix = "k8s-lab-00000000-"
        # How labctl finds its machines again, whatever becomes of this directory.
        libvirt.description = "labctl uuid=#{lab[:uuid]} lab=#{lab[:name]} node=#{node[:name]} owner=#{lab[:owner]}"
        libvirt.cpus = node[:cpus]
        libvirt.memory = node[:memory]
        libvirt.driver = "kvm"
        libvirt.cpu_mode = "host-passthrough"
        libvirt.storage_pool_name = "default"
        libvirt.management_network_name = "labctl-00000000-nat"
        libvirt.management_network_address = "192.168.121.0/24"
        libvirt.graphics_type = "none"
        libvirt.random model: "random"
        libvirt.channel type: "unix", target_name: "org.qemu.guest_agent.0", target_type: "virtio"
      end
    end
  end
end
