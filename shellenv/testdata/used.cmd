error: write HTTPS_PROXY as cmd: cmd cannot carry ", % and line ends
