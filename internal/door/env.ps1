  $ErrorActionPreference = 'Stop'
  if ($env:DETOUR_KEY -match '[^A-Za-z0-9_-]') { throw 'detour: DETOUR_KEY is not a client key; nothing was set' }
  $windows = $env:OS -eq 'Windows_NT'
  $set = [ordered]@{}
  if ($sha256) {
    if ($windows) { $root = $env:APPDATA } elseif ($env:XDG_CONFIG_HOME) { $root = $env:XDG_CONFIG_HOME } else { $root = "$HOME/.config" }
    $dir = [IO.Path]::Combine($root, 'detour', 'lan')
    [void][IO.Directory]::CreateDirectory($dir)
    $client = New-Object System.Net.WebClient
    $client.Proxy = $null
    $pem = [regex]::Match($client.DownloadString("$base/-/lan/ca.crt"), '-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----')
    if (-not $pem.Success) { throw 'detour: no certificate was received; nothing was set' }
    $der = [Convert]::FromBase64String(($pem.Groups[1].Value -replace '\s', ''))
    $got = ([BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($der)) -replace '-', '').ToLowerInvariant()
    if ($got -cne $sha256) { throw "detour: the certificate is not the one you named; nothing was set`ndetour: you named $sha256`ndetour: received  $got" }
    $ca = [IO.Path]::Combine($dir, "ca-$sha256.crt")
    [IO.File]::WriteAllText($ca, $pem.Value + "`n")
    $set['DENO_CERT'] = $ca
    $extra = [IO.Path]::Combine($dir, "extra-$sha256.pem")
    $before = $env:NODE_EXTRA_CA_CERTS
    if ($before -and -not $before.StartsWith($dir) -and (Test-Path -LiteralPath $before -PathType Leaf)) {
      [IO.File]::WriteAllText($extra, [IO.File]::ReadAllText($before) + "`n" + $pem.Value + "`n")
    } elseif (-not (Test-Path -LiteralPath $extra -PathType Leaf) -or -not $before) {
      [IO.File]::WriteAllText($extra, $pem.Value + "`n")
    }
    $set['NODE_EXTRA_CA_CERTS'] = $extra
    $system = @($env:SSL_CERT_FILE, $env:REQUESTS_CA_BUNDLE, $env:CURL_CA_BUNDLE, '/etc/ssl/certs/ca-certificates.crt', '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem') |
      Where-Object { $_ -and -not $_.StartsWith($dir) -and (Test-Path -LiteralPath $_ -PathType Leaf) } | Select-Object -First 1
    if ($system) {
      $bundle = [IO.Path]::Combine($dir, "bundle-$sha256.pem")
      [IO.File]::WriteAllText($bundle, [IO.File]::ReadAllText($system) + "`n" + $pem.Value + "`n")
      foreach ($name in 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO', 'PIP_CERT', 'AWS_CA_BUNDLE', 'CARGO_HTTP_CAINFO', 'CODEX_CA_CERTIFICATE') { $set[$name] = $bundle }
    } else {
      [Console]::Error.WriteLine('detour: no file of system certificates was found, so only tools that add to their own (NODE_EXTRA_CA_CERTS) will trust detour')
    }
  }
  $set['OPENAI_BASE_URL'] = "$api/v1"
  $set['ANTHROPIC_BASE_URL'] = $api
  if ($env:DETOUR_KEY) {
    $set['OPENAI_API_KEY'] = $env:DETOUR_KEY
    $set['ANTHROPIC_AUTH_TOKEN'] = $env:DETOUR_KEY
  } elseif ($keys -eq 'true') {
    [Console]::Error.WriteLine('detour: this detour asks for a client key; set DETOUR_KEY to yours and run this again')
  }
  if ($proxy) {
    if ($env:DETOUR_KEY) { $proxy = $proxy.Replace('://', "://detour:$($env:DETOUR_KEY)@") }
    $no = @("$env:NO_PROXY" -split ',' | Where-Object { $_ })
    foreach ($n in 'localhost', '127.0.0.1', '::1', $name_) { if ($no -notcontains $n) { $no += $n } }
    $set['HTTPS_PROXY'] = $proxy
    $set['HTTP_PROXY'] = $proxy
    $set['NO_PROXY'] = $no -join ','
    $set['NODE_USE_ENV_PROXY'] = '1'
    if (-not $windows) { foreach ($n in 'HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY') { $set[$n.ToLowerInvariant()] = $set[$n] } }
  }
  foreach ($name in $set.Keys) { [Environment]::SetEnvironmentVariable($name, $set[$name], 'Process') }
