# A double of a guest for Vagrant, put into VAGRANT_HOME/Vagrantfile by a test: there is no machine behind it. It is
# always reachable, runs nothing and answers what Vagrant asks a Debian guest for while it sets up its networks.

class GuestDouble < Vagrant.plugin("2", :communicator)
  INTERFACES = "eth0\neth1\n".freeze

  def self.match?(_machine)
    true
  end

  def initialize(machine)
    super
    @machine = machine
  end

  def ready?
    true
  end

  # Vagrant watches the machine's state beside this call and takes a guest that is ready before the watcher's first
  # look for one in a bad state. No real guest is that quick; asking for the state here makes this one as slow.
  def wait_for_ready(_duration)
    @machine.state.id == :running
  end

  def download(_from, _to = nil); end

  def upload(_from, _to); end

  def execute(command, _options = nil)
    # A guest that is told to shut down does, or Vagrant waits a minute for it before it pulls the plug.
    system("VBoxManage", "controlvm", @machine.id, "poweroff", out: File::NULL) if command.match?(/poweroff|shutdown/)
    yield :stdout, INTERFACES if block_given? && command.include?("ip -o")
    0
  end

  def sudo(command, options = nil, &block)
    execute(command, options, &block)
  end

  def test(_command, _options = nil)
    true
  end

  def reset!; end
end

class GuestDoublePlugin < Vagrant.plugin("2")
  name "guest double"
  communicator("guest_double") { GuestDouble }
end

Vagrant.configure("2") do |config|
  config.vm.communicator = "guest_double"
  config.vm.guest = :debian
end
