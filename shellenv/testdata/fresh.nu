{
  "https_proxy": "http://127.0.0.1:4142",
  "http_proxy": "http://127.0.0.1:4142",
  "no_proxy": "localhost,127.0.0.1,::1",
  "NODE_USE_ENV_PROXY": "1",
  "NODE_EXTRA_CA_CERTS": "/extra/ours",
  "DENO_CERT": "/extra/ours",
  "SSL_CERT_FILE": "/bundle/public",
  "REQUESTS_CA_BUNDLE": "/bundle/public",
  "CURL_CA_BUNDLE": "/bundle/public",
  "GIT_SSL_CAINFO": "/bundle/public",
  "CODEX_CA_CERTIFICATE": "/bundle/public",
  "PERL_LWP_SSL_CA_FILE": "/bundle/public",
  "HTTPLIB2_CA_CERTS": "/bundle/public",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/bundle/public",
  "DETOUR_PROXY_VARS": "HTTPS_PROXY,HTTP_PROXY,https_proxy,http_proxy,NO_PROXY,no_proxy,NODE_USE_ENV_PROXY,NODE_EXTRA_CA_CERTS,DENO_CERT,SSL_CERT_FILE,REQUESTS_CA_BUNDLE,CURL_CA_BUNDLE,GIT_SSL_CAINFO,CODEX_CA_CERTIFICATE,PERL_LWP_SSL_CA_FILE,HTTPLIB2_CA_CERTS,GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "DETOUR_PROXY_ACTIVE": "g1"
}
