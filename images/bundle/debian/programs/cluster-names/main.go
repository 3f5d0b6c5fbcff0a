// cluster-names makes dnsmasq the DNS server of a cluster: it watches the API server's Services and
// Endpoints, answers for the cluster domain (see zone.go) on a local port, and keeps dnsmasq in front of
// it on port 53 of the pod for caching, TCP and every name outside the cluster.
//
// dnsmasq alone could serve the addresses from a hosts file, but a CNAME of dnsmasq may only point to a
// name that is in such a file, so ExternalName Services would not work.
//
// Environment:
//
//	CLUSTER_DOMAIN  the cluster's domain (cluster.local)
//	UPSTREAMS       comma separated DNS servers for all other names; empty: such names do not exist
//	DNS_PORT        the port pods ask (53)
//	HEALTH_ADDRESS  where /ready and /health answer over HTTP (:8181)
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const local = "127.0.0.1:5353"

func environment(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// dnsmasq's arguments: the cluster's names and reverse lookups come from this program, all else from upstreams.
func dnsmasqArguments(domain, port string, upstreams []string) []string {
	own := strings.Replace(local, ":", "#", 1)
	arguments := []string{
		"--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--conf-file=/dev/null",
		"--port=" + port,
		// Stay root, and do not even touch the groups: the pod's security context takes the rights away, and
		// NET_BIND_SERVICE is all that is left to need.
		"--user=root", "--group=",
		"--cache-size=1000", "--dns-forward-max=1000", "--edns-packet-max=1232",
		"--server=/" + domain + "/" + own, "--server=/in-addr.arpa/" + own, "--server=/ip6.arpa/" + own,
	}
	if len(upstreams) == 0 {
		return append(arguments, "--server="+own)
	}
	for _, upstream := range upstreams {
		arguments = append(arguments, "--server="+strings.Replace(upstream, ":", "#", 1))
	}
	return arguments
}

func main() {
	log.SetFlags(0)
	domain := strings.ToLower(strings.Trim(environment("CLUSTER_DOMAIN", "cluster.local"), "."))
	port := environment("DNS_PORT", "53")
	upstreams := strings.FieldsFunc(os.Getenv("UPSTREAMS"), func(r rune) bool { return r == ',' || r == ' ' })

	names := newZone(domain, upstreams, net.JoinHostPort("127.0.0.1", port))
	cluster, err := inCluster()
	if err != nil {
		log.Fatalf("cannot reach the API server: %v", err)
	}
	go cluster.follow("services", names.setServices)
	go cluster.follow("endpoints", names.setEndpoints)

	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: local, Net: network, Handler: names}
		go func() { log.Fatal(server.ListenAndServe()) }()
	}

	dnsmasq := exec.Command("dnsmasq", dnsmasqArguments(domain, port, upstreams)...)
	dnsmasq.Stdout, dnsmasq.Stderr = os.Stdout, os.Stderr
	dnsmasq.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := dnsmasq.Start(); err != nil {
		log.Fatalf("cannot start dnsmasq: %v", err)
	}
	go func() {
		// One ends, both end: the kubelet then starts the container anew.
		log.Fatalf("dnsmasq ended: %v", dnsmasq.Wait())
	}()

	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(names, port); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	go func() { log.Fatal(http.ListenAndServe(environment("HEALTH_ADDRESS", ":8181"), nil)) }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}

// ready is nil once both lists were read and the whole path, dnsmasq included, answers for the API server's own name.
func ready(names *zone, port string) error {
	if err := names.synced(); err != nil {
		return err
	}
	question := new(dns.Msg)
	question.SetQuestion("kubernetes.default.svc."+names.domain, dns.TypeA)
	client := &dns.Client{Timeout: time.Second}
	_, _, err := client.Exchange(question, net.JoinHostPort("127.0.0.1", port))
	return err
}
