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
  { name: "m-k8s", address: "192.168.56.10", cpus: 2, memory: 3072, display_name: "m-k8s", ssh_port: 60010 },
  { name: "w1-k8s", address: "192.168.56.101", cpus: 1, memory: 2560, display_name: "w1-k8s", ssh_port: 60101 },
  { name: "w2-k8s", address: "192.168.56.102", cpus: 1, memory: 2560, display_name: "w2-k8s", ssh_port: 60102 },
]

Vagrant.configure("2") do |config|
  config.vm.box = "bento/debian-12"
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
      machine.vm.network "private_network", ip: node[:address], netmask: "255.255.255.0"
      # The id "ssh" replaces Vagrant's own forward of port 2222, so that there is one.
      machine.vm.network "forwarded_port", id: "ssh", guest: 22, host: node[:ssh_port], host_ip: "127.0.0.1", auto_correct: true
      if node[:name] == "m-k8s"
        machine.vm.network "forwarded_port", id: "port-8080", guest: 30080, host: 8080, host_ip: "127.0.0.1"
      end
      if node[:name] == "w2-k8s"
        machine.vm.network "forwarded_port", id: "port-8443", guest: 30443, host: 8443, host_ip: "0.0.0.0"
      end
      if node[:name] == "m-k8s"
        machine.vm.network "forwarded_port", id: "kubernetes", guest: 6443, host: 60443, host_ip: "127.0.0.1"
      end

      machine.vm.provider "virtualbox" do |vb|
        vb.name = node[:display_name]
        vb.cpus = node[:cpus]
        vb.memory = node[:memory]
        vb.linked_clone = true
        vb.gui = false
        vb.check_guest_additions = false
        vb.customize ["modifyvm", :id, "--groups", "/k8s-lab"]
        # How labctl finds its machines again, whatever becomes of this directory.
        lab.merge(node: node[:name]).each do |key, value|
          vb.customize ["setextradata", :id, "labctl/#{key}", value]
        end
      end
    end
  end
end
