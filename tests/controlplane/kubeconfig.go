package main

import (
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes a kubeconfig with two cluster-admin users, one by token
// (the current context) and one by client certificate (context "certificate").
func writeKubeconfig(file, server string, ids *identities) error {
	ca, err := ids.read("ca.crt")
	if err != nil {
		return err
	}
	cert, err := ids.read("admin.crt")
	if err != nil {
		return err
	}
	key, err := ids.read("admin.key")
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["fairlead"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos["token"] = &clientcmdapi.AuthInfo{Token: ids.adminToken}
	config.AuthInfos["certificate"] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts["fairlead"] = &clientcmdapi.Context{Cluster: "fairlead", AuthInfo: "token"}
	config.Contexts["certificate"] = &clientcmdapi.Context{Cluster: "fairlead", AuthInfo: "certificate"}
	config.CurrentContext = "fairlead"
	return clientcmd.WriteToFile(*config, file)
}

// restConfig is for the clients inside this process, which are not to be slowed
// down by a client-side rate limit.
func restConfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "fairlead-sim"
	return config, nil
}
