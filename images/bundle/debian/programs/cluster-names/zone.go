package main

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// ttl in seconds: how long a pod may see a Service that has changed.
const ttl = 2

// zone answers for the cluster domain after the Kubernetes DNS specification, version 1.1.0: A, SRV and PTR of
// Services and of the ready endpoints of headless ones, CNAME of ExternalNames, and pod names made of an address.
type zone struct {
	domain    string // with a final dot
	upstreams []string
	front     string // dnsmasq, asked for the targets of ExternalName Services

	lock      sync.RWMutex
	services  map[string]object
	endpoints map[string]object
	records   map[string][]dns.RR // a name that exists without records has an empty entry
}

func newZone(domain string, upstreams []string, front string) *zone {
	return &zone{domain: dns.Fqdn(domain), upstreams: upstreams, front: front}
}

// The watch goes on changing its map, so each setter keeps a copy.
func copied(objects map[string]object) map[string]object {
	result := make(map[string]object, len(objects))
	for key, value := range objects {
		result[key] = value
	}
	return result
}

func (z *zone) setServices(objects map[string]object) {
	z.lock.Lock()
	defer z.lock.Unlock()
	z.services = copied(objects)
	z.records = build(z.domain, z.services, z.endpoints)
}

func (z *zone) setEndpoints(objects map[string]object) {
	z.lock.Lock()
	defer z.lock.Unlock()
	z.endpoints = copied(objects)
	z.records = build(z.domain, z.services, z.endpoints)
}

func (z *zone) synced() error {
	z.lock.RLock()
	defer z.lock.RUnlock()
	if z.services == nil || z.endpoints == nil {
		return fmt.Errorf("Services and Endpoints were not read yet")
	}
	return nil
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func address(name, ip string) dns.RR {
	parsed := net.ParseIP(ip)
	switch {
	case parsed == nil:
		return nil
	case parsed.To4() != nil:
		return &dns.A{Hdr: header(name, dns.TypeA), A: parsed.To4()}
	default:
		return &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: parsed}
	}
}

// build makes all records from the objects; it is small and pure, and runs anew at each change.
func build(domain string, services, endpoints map[string]object) map[string][]dns.RR {
	records := map[string][]dns.RR{
		domain:                  {},
		"svc." + domain:         {},
		"pod." + domain:         {},
		"dns-version." + domain: {&dns.TXT{Hdr: header("dns-version."+domain, dns.TypeTXT), Txt: []string{"1.1.0"}}},
	}
	add := func(name string, record dns.RR) {
		if record != nil {
			records[name] = append(records[name], record)
		}
	}
	exist := func(name string) {
		if records[name] == nil {
			records[name] = []dns.RR{}
		}
	}
	reverse := func(ip, name string) {
		if arpa, err := dns.ReverseAddr(ip); err == nil {
			add(arpa, &dns.PTR{Hdr: header(arpa, dns.TypePTR), Ptr: name})
		}
	}
	service := func(name, target string, p port) {
		if p.Name == "" {
			return
		}
		protocol := strings.ToLower(p.Protocol)
		if protocol == "" {
			protocol = "tcp"
		}
		owner := "_" + p.Name + "._" + protocol + "." + name
		add(owner, &dns.SRV{Hdr: header(owner, dns.TypeSRV), Priority: 0, Weight: 100, Port: p.Port, Target: target})
	}
	for key, s := range services {
		name := key + ".svc." + domain
		namespace := s.Metadata.Namespace + ".svc." + domain
		exist(name)
		exist(namespace)
		switch {
		case s.Spec.Type == "ExternalName":
			add(name, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(strings.ToLower(s.Spec.ExternalName))})
		case s.Spec.ClusterIP != "None":
			ips := s.Spec.ClusterIPs
			if len(ips) == 0 {
				ips = []string{s.Spec.ClusterIP}
			}
			for _, ip := range ips {
				add(name, address(name, ip))
				reverse(ip, name)
			}
			for _, p := range s.Spec.Ports {
				service(name, name, p)
			}
		default: // headless: the pods themselves
			for _, subset := range endpoints[key].Subsets {
				for _, pod := range subset.Addresses {
					own := pod.Hostname
					if own == "" {
						own = strings.NewReplacer(".", "-", ":", "-").Replace(pod.IP)
					}
					own += "." + name
					add(name, address(name, pod.IP))
					add(own, address(own, pod.IP))
					reverse(pod.IP, own)
					for _, p := range subset.Ports {
						service(name, own, p)
					}
				}
			}
		}
	}
	return records
}

// find looks a name up; `exists` is false when the zone has neither the name nor anything below it.
func (z *zone) find(name string) (found []dns.RR, exists bool) {
	z.lock.RLock()
	found, exists = z.records[name]
	z.lock.RUnlock()
	if exists {
		return found, true
	}
	// 10-1-2-3.default.pod.cluster.local
	if labels := dns.SplitDomainName(strings.TrimSuffix(name, ".pod."+z.domain)); strings.HasSuffix(name, ".pod."+z.domain) && len(labels) == 2 {
		if record := address(name, strings.ReplaceAll(labels[0], "-", ".")); record != nil {
			return []dns.RR{record}, true
		}
	}
	return nil, false
}

// ServeDNS answers one question; dnsmasq is the only client.
func (z *zone) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(question)
	if len(question.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(reply)
		return
	}
	q := question.Question[0]
	name := strings.ToLower(q.Name)
	inside := dns.IsSubDomain(z.domain, name)
	if z.synced() != nil {
		reply.Rcode = dns.RcodeServerFailure
		_ = w.WriteMsg(reply)
		return
	}
	found, exists := z.find(name)
	switch {
	case exists:
		reply.Authoritative, reply.RecursionAvailable = inside, true
		for _, record := range found {
			if kind := record.Header().Rrtype; kind == q.Qtype || kind == dns.TypeCNAME || q.Qtype == dns.TypeANY {
				// The name comes back as it was asked, in the same letters (some resolvers compare).
				own := dns.Copy(record)
				own.Header().Name = q.Name
				reply.Answer = append(reply.Answer, own)
				if alias, ok := record.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
					reply.Answer = append(reply.Answer, z.resolve(alias.Target, q.Qtype)...)
				}
			}
		}
	case !inside && len(z.upstreams) > 0:
		if answer := z.ask(q, z.upstreams[0]); answer != nil {
			answer.Id = question.Id
			reply = answer
		} else {
			reply.Rcode = dns.RcodeServerFailure
		}
	default:
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 && inside {
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
			Serial: uint32(time.Now().Unix()), Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
		}}
	}
	limit := dns.MinMsgSize
	if edns := question.IsEdns0(); edns != nil {
		limit = int(edns.UDPSize())
	}
	if w.LocalAddr().Network() == "udp" && reply.Len() > limit {
		// dnsmasq asks again over TCP.
		reply.Truncated, reply.Answer, reply.Ns = true, nil, nil
	}
	_ = w.WriteMsg(reply)
}

// resolve follows the target of an ExternalName: pods' resolvers expect the whole chain in one answer.
func (z *zone) resolve(target string, kind uint16) []dns.RR {
	answer := z.ask(dns.Question{Name: target, Qtype: kind, Qclass: dns.ClassINET}, z.front)
	if answer == nil {
		return nil
	}
	return answer.Answer
}

func (z *zone) ask(q dns.Question, server string) *dns.Msg {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	request := new(dns.Msg)
	request.SetQuestion(q.Name, q.Qtype)
	request.RecursionDesired = true
	client := &dns.Client{Timeout: 2 * time.Second}
	answer, _, err := client.Exchange(request, server)
	if err != nil {
		return nil
	}
	return answer
}
