package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// object holds what DNS needs of a Service or of an Endpoints object.
type object struct {
	Metadata struct {
		Name            string
		Namespace       string
		ResourceVersion string
	}
	Spec struct {
		Type         string
		ClusterIP    string
		ClusterIPs   []string
		ExternalName string
		Ports        []port
	}
	Subsets []struct {
		Addresses []struct {
			IP       string
			Hostname string
		}
		Ports []port
	}
}

type port struct {
	Name     string
	Port     uint16
	Protocol string
}

func (o object) key() string { return o.Metadata.Name + "." + o.Metadata.Namespace }

// api is the API server as a pod's service account sees it.
type api struct {
	base   string
	client *http.Client
}

func inCluster() (*api, error) {
	host, portNumber := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || portNumber == "" {
		return nil, fmt.Errorf("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a pod only")
	}
	pem, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: roots},
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext,
		ResponseHeaderTimeout: 15 * time.Second,
	}
	return &api{"https://" + net.JoinHostPort(host, portNumber), &http.Client{Transport: transport}}, nil
}

// get opens a request; the token is read anew each time because the kubelet replaces it now and then.
func (a *api) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := a.client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response, err
}

// follow keeps `set` informed of all objects of a resource, for ever; what it last said stays valid while the API server is away.
func (a *api) follow(resource string, set func(map[string]object)) {
	for {
		err := a.listAndWatch(resource, set)
		log.Printf("%s: %v; reading them anew", resource, err)
		time.Sleep(time.Second)
	}
}

func (a *api) listAndWatch(resource string, set func(map[string]object)) error {
	list, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := a.get(list, "/api/v1/"+resource)
	if err != nil {
		return err
	}
	var all struct {
		Metadata struct{ ResourceVersion string }
		Items    []object
	}
	err = json.NewDecoder(response.Body).Decode(&all)
	response.Body.Close()
	if err != nil {
		return err
	}
	objects := make(map[string]object, len(all.Items))
	for _, item := range all.Items {
		objects[item.key()] = item
	}
	set(objects)
	for version := all.Metadata.ResourceVersion; ; {
		if version, err = a.watch(resource, version, objects, set); err != nil {
			return err
		}
	}
}

// watch applies changes until the API server ends the request in its normal course, and returns the version reached.
func (a *api) watch(resource, version string, objects map[string]object, set func(map[string]object)) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	response, err := a.get(ctx, "/api/v1/"+resource+"?watch=1&allowWatchBookmarks=true&timeoutSeconds=240&resourceVersion="+version)
	if err != nil {
		return version, err
	}
	defer response.Body.Close()
	for changes := json.NewDecoder(response.Body); changes.More(); {
		var change struct {
			Type   string
			Object object
		}
		if err := changes.Decode(&change); err != nil {
			return version, err
		}
		switch change.Type {
		case "ADDED", "MODIFIED":
			objects[change.Object.key()] = change.Object
		case "DELETED":
			delete(objects, change.Object.key())
		case "ERROR":
			return version, fmt.Errorf("the API server ended the watch at version %s", version)
		}
		version = change.Object.Metadata.ResourceVersion
		if change.Type != "BOOKMARK" {
			set(objects)
		}
	}
	return version, nil
}
