#!/bin/bash
# openssl: digests, ciphers, a key and a certificate, a signature, and a TLS connection between two processes.
source "$(dirname "$0")/lib.sh"
need openssl openssl
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed.pem
head -c 3000000 /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 >data 2>/dev/null
cat >workload.sh <<'SH'
set -eu
for digest in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst "-$digest" ../data | sed 's/.*= //'; done
for cipher in aes-256-cbc aes-128-ctr chacha20 camellia-128-cbc; do
    openssl enc "-$cipher" -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:word -in ../data -out "$cipher.enc"
    openssl enc "-$cipher" -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:word -d -in "$cipher.enc" | cmp - ../data
    sha256sum "$cipher.enc"
done
openssl pkey -in ../rsa.pem -text -noout | sha256sum
openssl pkeyutl -sign -rawin -inkey ../ed.pem -in ../Makefile -out signature
openssl pkeyutl -verify -rawin -inkey ../ed.pem -in ../Makefile -sigfile signature
openssl dgst -sha256 -sign ../rsa.pem -out rsa.signature ../data
openssl req -new -x509 -key ../rsa.pem -subj /CN=localhost -set_serial 7 -days 2 -out cert.pem
openssl x509 -in cert.pem -noout -subject -serial
openssl verify -CAfile cert.pem cert.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem
openssl pkey -in ec.pem -pubout | head -n 1
openssl dhparam -in /dev/null 2>/dev/null || echo "an error ends with its status"
openssl s_server -unix tls.sock -cert cert.pem -key ../rsa.pem -rev -naccept 3 -quiet >server.log 2>&1 &
server=$!
for _ in $(seq 1 100); do
    if [ -S tls.sock ]; then break; fi
    sleep 0.05
done
for text in first second third; do
    printf '%s\nCLOSE\n' "$text" | timeout 20 openssl s_client -unix tls.sock -CAfile cert.pem -quiet \
        -verify_return_error -servername localhost 2>client.log || cat client.log
done
wait "$server" || cat server.log
SH
printf 'a file to sign\n' >Makefile
twice bash ../workload.sh
same_file signature rsa.signature
printed "cert.pem: OK" "Signature Verified Successfully" tsrif dnoces driht
under_moat openssl
passed
