# A double of a guest for Vagrant, put into VAGRANT_HOME/Vagrantfile by a test: there is no machine behind it. It is
# always reachable, runs nothing and answers what Vagrant asks a Debian guest for while it sets up its networks.

class GuestDouble < Vagrant.plugin("2", :communicator)
  INTERFACES = "eth0\neth1\n".freeze

  def self.match?(_machine)
    true
  end

  def ready?
    true
  end

  def wait_for_ready(_duration)
    true
  end

  def download(_from, _to = nil); end

  def upload(_from, _to); end

  def execute(command, _options = nil)
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
