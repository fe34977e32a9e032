__detour_verify() (
  set +eu;
  umask 077;
  dir="$1"; url="$2"; want="$3";
  command mkdir -p "$dir" || exit 1;
  new="$(command mktemp "$dir/new.XXXXXX")" || exit 1;
  __detour_drop() { command rm -f "$new" "$new.crt" "$new.pem"; exit 1; };
  if command -v curl >/dev/null 2>&1; then
    command curl -fsS --noproxy '*' --max-time 30 -o "$new" "$url" || __detour_drop;
  elif command -v wget >/dev/null 2>&1; then
    command wget -q --no-proxy -T 30 -O "$new" "$url" || __detour_drop;
  else
    echo 'detour: curl or wget is needed to fetch the certificate' >&2; __detour_drop;
  fi;
  command awk '/-----BEGIN CERTIFICATE-----/ { f = 1 } f { print } f && /-----END CERTIFICATE-----/ { exit }' "$new" >| "$new.crt" || __detour_drop;
  if command -v openssl >/dev/null 2>&1; then
    got="$(command openssl x509 -in "$new.crt" -outform DER 2>/dev/null | command openssl dgst -sha256 -r)";
  elif command -v sha256sum >/dev/null 2>&1; then
    got="$(command sed '/^-----/d' "$new.crt" | command base64 -d | command sha256sum)";
  elif command -v shasum >/dev/null 2>&1; then
    got="$(command sed '/^-----/d' "$new.crt" | command base64 -d | command shasum -a 256)";
  else
    echo 'detour: openssl, sha256sum or shasum is needed to check the certificate' >&2; __detour_drop;
  fi;
  got="${got%% *}";
  if [ "$got" != "$want" ]; then
    echo 'detour: the certificate is not the one you named; nothing was set' >&2;
    echo "detour: you named $want" >&2;
    echo "detour: received  $got" >&2;
    __detour_drop;
  fi;
  base='';
  for f in "${SSL_CERT_FILE-}" "${REQUESTS_CA_BUNDLE-}" "${CURL_CA_BUNDLE-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /var/lib/ca-certificates/ca-bundle.pem /etc/ca-certificates/extracted/tls-ca-bundle.pem /etc/ssl/cert.pem /usr/local/etc/ssl/cert.pem /usr/local/share/certs/ca-root-nss.crt /etc/openssl/certs/ca-certificates.crt "${PREFIX-}/etc/tls/cert.pem"; do
    case "$f" in ''|"$dir"/*) continue;; esac;
    if [ -f "$f" ] && [ -r "$f" ]; then base="$f"; break; fi;
  done;
  if [ -n "$base" ]; then
    { command cat "$base" && echo && command cat "$new.crt"; } >| "$new.pem" && command mv -f "$new.pem" "$dir/bundle-$want.pem" || __detour_drop;
  else
    command rm -f "$dir/bundle-$want.pem";
    echo 'detour: no system certificates were found, so only tools that add to their own (NODE_EXTRA_CA_CERTS) will trust detour' >&2;
  fi;
  extra="$dir/extra-$want.pem";
  case "${NODE_EXTRA_CA_CERTS-}" in
    "$dir"/*) if [ -f "$extra" ]; then command cat "$extra"; else command cat "$new.crt"; fi;;
    ?*) command cat "$NODE_EXTRA_CA_CERTS" 2>/dev/null; echo; command cat "$new.crt";;
    *) command cat "$new.crt";;
  esac >| "$new.pem" && command mv -f "$new.pem" "$extra" || __detour_drop;
  command mv -f "$new.crt" "$dir/ca-$want.crt" || __detour_drop;
  command rm -f "$new";
);
__detour_lan() {
  case "${DETOUR_KEY-}" in
    *[!A-Za-z0-9_-]*) echo 'detour: DETOUR_KEY is not a client key; nothing was set' >&2; return 1;;
  esac;
  __detour_dir="${XDG_CONFIG_HOME:-${HOME-}/.config}/detour/lan";
  if [ -n "$__detour_sha256" ]; then
    __detour_verify "$__detour_dir" "$__detour_base/-/lan/ca.crt" "$__detour_sha256" || return 1;
    export NODE_EXTRA_CA_CERTS="$__detour_dir/extra-$__detour_sha256.pem";
    export DENO_CERT="$__detour_dir/ca-$__detour_sha256.crt";
    if [ -f "$__detour_dir/bundle-$__detour_sha256.pem" ]; then
      export SSL_CERT_FILE="$__detour_dir/bundle-$__detour_sha256.pem";
      export REQUESTS_CA_BUNDLE="$SSL_CERT_FILE" CURL_CA_BUNDLE="$SSL_CERT_FILE" GIT_SSL_CAINFO="$SSL_CERT_FILE" PIP_CERT="$SSL_CERT_FILE" AWS_CA_BUNDLE="$SSL_CERT_FILE" CARGO_HTTP_CAINFO="$SSL_CERT_FILE" CODEX_CA_CERTIFICATE="$SSL_CERT_FILE";
    fi;
  fi;
  export OPENAI_BASE_URL="$__detour_api/v1" ANTHROPIC_BASE_URL="$__detour_api";
  if [ -n "${DETOUR_KEY-}" ]; then
    export OPENAI_API_KEY="$DETOUR_KEY" ANTHROPIC_AUTH_TOKEN="$DETOUR_KEY";
  elif [ "$__detour_keys" = true ]; then
    echo 'detour: this detour asks for a client key; set DETOUR_KEY to yours and run this again' >&2;
  fi;
  if [ -n "$__detour_proxy" ]; then
    if [ -n "${DETOUR_KEY-}" ]; then
      __detour_proxy="${__detour_proxy%%://*}://detour:$DETOUR_KEY@${__detour_proxy#*://}";
    fi;
    export HTTPS_PROXY="$__detour_proxy" https_proxy="$__detour_proxy" HTTP_PROXY="$__detour_proxy" http_proxy="$__detour_proxy" NODE_USE_ENV_PROXY=1;
    __detour_no="${NO_PROXY:-${no_proxy-}}";
    for __detour_n in localhost 127.0.0.1 ::1 "$__detour_host"; do
      case ",$__detour_no," in
        *",$__detour_n,"*) ;;
        *) __detour_no="${__detour_no:+$__detour_no,}$__detour_n";;
      esac;
    done;
    export NO_PROXY="$__detour_no" no_proxy="$__detour_no";
  fi;
  return 0;
};
if __detour_lan; then __detour_rc=0; else __detour_rc=1; fi;
unset -f __detour_lan __detour_verify;
unset __detour_api __detour_proxy __detour_host __detour_base __detour_sha256 __detour_keys __detour_dir __detour_no __detour_n;
eval "unset __detour_rc; (exit $__detour_rc)";
