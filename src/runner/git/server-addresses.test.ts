import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPublicAddress } from './server-addresses.ts'

const refused = `
  0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255
  168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
  198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
  :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
  64:ff9b::8.8.8.8 64:ff9b:1::a00:1 100::1 2001::1 2001:0:7f00:1:: 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1
  4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1111%eth0 fec0::1 ff02::1
  localhost 127.1 2130706433 0x7f.1 8.8.8.8.8 8.8.8.8:80 [::1]
`
const taken = `
  1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 140.82.121.4
  169.253.255.255 172.15.255.255 172.32.0.1 192.0.1.1 192.167.255.255 223.255.255.255
  2606:50c0:8000::64 2a00:1450:4001::1 2001:4860:4860::8888 2620:fe::fe
`
const list = (text: string) => text.trim().split(/\s+/)

test('addresses of this machine, private networks and metadata services are not public, in any form', () => {
  for (const address of [...list(refused), '', ' 8.8.8.8'])
    assert.equal(isPublicAddress(address), false, address)
})

test('internet addresses are public, right up to the edges of the non-public ranges', () => {
  for (const address of list(taken)) assert.equal(isPublicAddress(address), true, address)
})
