function __detour_verify --argument-names dir url want
    command mkdir -p $dir; or return 1
    command chmod 700 $dir
    set -l new (command mktemp "$dir/new.XXXXXX"); or return 1
    if command -sq curl
        command curl -fsS --noproxy '*' --max-time 30 -o $new $url
    else if command -sq wget
        command wget -q --no-proxy -T 30 -O $new $url
    else
        echo 'detour: curl or wget is needed to fetch the certificate' >&2
        false
    end
    or begin
        command rm -f $new
        return 1
    end
    command awk '/-----BEGIN CERTIFICATE-----/ { f = 1 } f { print } f && /-----END CERTIFICATE-----/ { exit }' $new >$new.crt
    set -l got
    if command -sq openssl
        set got (command openssl x509 -in $new.crt -outform DER 2>/dev/null | command openssl dgst -sha256 -r)
    else if command -sq sha256sum
        set got (command sed '/^-----/d' $new.crt | command base64 -d | command sha256sum)
    else if command -sq shasum
        set got (command sed '/^-----/d' $new.crt | command base64 -d | command shasum -a 256)
    else
        echo 'detour: openssl, sha256sum or shasum is needed to check the certificate' >&2
        command rm -f $new $new.crt
        return 1
    end
    set got (string split -m 1 ' ' -- "$got")[1]
    if test "$got" != "$want"
        echo 'detour: the certificate is not the one you named; nothing was set' >&2
        echo "detour: you named $want" >&2
        echo "detour: received  $got" >&2
        command rm -f $new $new.crt
        return 1
    end
    set -l base
    for f in "$SSL_CERT_FILE" "$REQUESTS_CA_BUNDLE" "$CURL_CA_BUNDLE" /etc/ssl/certs/ca-certificates.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /var/lib/ca-certificates/ca-bundle.pem /etc/ca-certificates/extracted/tls-ca-bundle.pem /etc/ssl/cert.pem /usr/local/etc/ssl/cert.pem /usr/local/share/certs/ca-root-nss.crt /etc/openssl/certs/ca-certificates.crt
        if test -n "$f" -a -f "$f" -a -r "$f"; and test (string sub -l (string length -- "$dir/") -- "$f") != "$dir/"
            set base $f
            break
        end
    end
    if test -n "$base"
        begin
            command cat $base
            echo
            command cat $new.crt
        end >$new.pem
        and command mv -f $new.pem $dir/bundle-$want.pem
        or return 1
    else
        command rm -f $dir/bundle-$want.pem
        echo 'detour: no system certificates were found, so only tools that add to their own (NODE_EXTRA_CA_CERTS) will trust detour' >&2
    end
    if test -z "$NODE_EXTRA_CA_CERTS"
        command cp -f $new.crt $dir/extra-$want.pem; or return 1
    else if test (string sub -l (string length -- "$dir/") -- "$NODE_EXTRA_CA_CERTS") != "$dir/"
        begin
            command cat $NODE_EXTRA_CA_CERTS 2>/dev/null
            echo
            command cat $new.crt
        end >$dir/extra-$want.pem
        or return 1
    else if not test -f $dir/extra-$want.pem
        command cp -f $new.crt $dir/extra-$want.pem; or return 1
    end
    command mv -f $new.crt $dir/ca-$want.crt; or return 1
    command rm -f $new
    return 0
end
function __detour_lan --argument-names api proxy host base sha256 keys
    if string match -qr '[^A-Za-z0-9_-]' -- "$DETOUR_KEY"
        echo 'detour: DETOUR_KEY is not a client key; nothing was set' >&2
        return 1
    end
    set -l dir "$HOME/.config/detour/lan"
    if test -n "$XDG_CONFIG_HOME"
        set dir "$XDG_CONFIG_HOME/detour/lan"
    end
    if test -n "$sha256"
        __detour_verify $dir "$base/-/lan/ca.crt" $sha256; or return 1
        set -gx NODE_EXTRA_CA_CERTS $dir/extra-$sha256.pem
        set -gx DENO_CERT $dir/ca-$sha256.crt
        if test -f $dir/bundle-$sha256.pem
            for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE CARGO_HTTP_CAINFO CODEX_CA_CERTIFICATE
                set -gx $name $dir/bundle-$sha256.pem
            end
        end
    end
    set -gx OPENAI_BASE_URL $api/v1
    set -gx ANTHROPIC_BASE_URL $api
    if test -n "$DETOUR_KEY"
        set -gx OPENAI_API_KEY $DETOUR_KEY
        set -gx ANTHROPIC_AUTH_TOKEN $DETOUR_KEY
    else if test "$keys" = true
        echo 'detour: this detour asks for a client key; set DETOUR_KEY to yours and run this again' >&2
    end
    if test -n "$proxy"
        if test -n "$DETOUR_KEY"
            set proxy (string replace '://' "://detour:$DETOUR_KEY@" -- $proxy)
        end
        for name in HTTPS_PROXY https_proxy HTTP_PROXY http_proxy
            set -gx $name $proxy
        end
        set -gx NODE_USE_ENV_PROXY 1
        set -l no $NO_PROXY
        test -n "$no"; or set no $no_proxy
        set no (string split -n , -- "$no")
        for n in localhost 127.0.0.1 ::1 $host
            contains -- $n $no; or set -a no $n
        end
        set -gx NO_PROXY (string join , -- $no)
        set -gx no_proxy $NO_PROXY
    end
    return 0
end
