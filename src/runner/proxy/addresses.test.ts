import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import test from 'node:test'
import { allowance, ClosedPlaces, parseTarget, refusedAddress } from './addresses.ts'

test('a target is a name or an address in canonical form', () => {
  const targets: Record<string, unknown> = {
    'Example.COM:443': { host: 'example.com', port: 443 },
    'example.com.:443': { host: 'example.com', port: 443 },
    'under_score.test:1': { host: 'under_score.test', port: 1 },
    'a.test': { host: 'a.test', port: 80 },
    '93.184.215.14:443': { host: '93.184.215.14', port: 443 },
    '[2606:2800::1]:443': { host: '2606:2800::1', port: 443 },
    // One address has many spellings, and one of them is compared with those of this machine.
    '[2606:2800:0:0::0:0001]:443': { host: '2606:2800::1', port: 443 },
    '[2A00:0:0:0:0:0:10.1.2.3]:443': { host: '2a00::a01:203', port: 443 },
    // Spellings of 127.0.0.1 that resolvers accept.
    ...Object.fromEntries(
      [
        '0x7f.1',
        '127.1',
        '2130706433',
        '0x7f000001',
        '017700000001',
        '0177.0.0.1',
        '127.0.0.01',
        '127.0.0.1.',
        '0x',
        '1.2.3.4.5',
      ].map((name) => [`${name}:443`, 'odd_address']),
    ),
    '[::1%lo]:443': 'bad_request',
    '[127.0.0.1]:443': 'odd_address',
    '[::ffff:127.0.0.1]:443': { host: '::ffff:127.0.0.1', port: 443 },
    'user@a.test:443': 'bad_request',
    'a.test:443@b.test:443': 'bad_request',
    'a.test:0': 'bad_request',
    'a.test:65536': 'bad_request',
    'a.test:443:443': 'bad_request',
    'a..test:443': 'odd_address',
    '-a.test:443': 'odd_address',
    '::1:443': 'bad_request',
    'ä.test:443': 'bad_request',
    'a.test:4 43': 'bad_request',
    'a%2etest:443': 'bad_request',
    '': 'bad_request',
    [`${'a.'.repeat(130)}test:443`]: 'odd_address',
  }
  for (const [text, target] of Object.entries(targets)) assert.deepEqual(parseTarget(text, 80), target, text)
  assert.equal(parseTarget('a.test'), 'bad_request')
})

test('only public internet addresses are connected to', () => {
  const refused = [
    ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '100.100.100.200', '127.0.0.1', '127.255.0.1'],
    ...[
      '169.254.169.254',
      '168.63.129.16',
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.192',
      '192.0.2.1',
      '192.168.1.1',
    ],
    ...[
      '198.18.0.1',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
      '192.88.99.1',
    ],
    ...['::', '::1', 'fe80::1', 'fe80::1%eth0', 'fd00::1', 'fd00:ec2::254', 'fc00::1', 'ff02::1', 'fec0::1'],
    // IPv4 in IPv6: mapped, compatible, translated (NAT64, both prefixes), 6to4, Teredo, ISATAP.
    ...[
      '::ffff:10.0.0.1',
      '::ffff:8.8.8.8',
      '::ffff:7f00:1',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '64:ff9b:1::7f00:1',
    ],
    ...[
      '2002:7f00:1::',
      '2002:a00:1::1',
      '2001:0:7f00:1::',
      'fe80::5efe:127.0.0.1',
      '2001:db8::1',
      '3fff::1',
      '100::1',
    ],
    ...['not an address', ''],
  ]
  for (const address of refused) {
    assert.equal(refusedAddress(address, { isPrivate: false }), 'private_address', address)
  }
  for (const address of [
    '8.8.8.8',
    '93.184.215.14',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '2a00:1450::1',
  ])
    assert.equal(refusedAddress(address, { isPrivate: false }), undefined, address)
})

test('a private host may have private addresses, but no loopback, link-local or metadata address', () => {
  for (const address of [
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    'fd12::1',
    'fc00::1',
    '8.8.8.8',
  ])
    assert.equal(refusedAddress(address, { isPrivate: true }), undefined, address)
  const never = [
    ...[
      '127.0.0.1',
      '::1',
      '0.0.0.0',
      '::',
      '169.254.169.254',
      'fe80::1',
      '100.100.100.200',
      'fd00:ec2::254',
    ],
    ...[
      'fd00:0ec2::254',
      'fd20:ce::254',
      '224.0.0.1',
      '255.255.255.255',
      '::ffff:10.0.0.1',
      '::10.0.0.1',
      '64:ff9b::a00:1',
    ],
    ...['2002:a00:1::1', '198.18.0.1', 'fd00::1%eth0', '0'],
  ]
  for (const address of never)
    assert.equal(refusedAddress(address, { isPrivate: true }), 'private_address', address)
})

test('hosts are allowed by name, by wildcard and by port, and in no other way', () => {
  const network = {
    allow: ['a.test', '*.b.test', 'c.test:8443', 'd.test@private', 'e.test:22@private', '8.8.8.8'],
  }
  const cases: Record<string, unknown> = {
    'a.test:443': { isPrivate: false, anything: false },
    'a.test:80': { isPrivate: false, anything: false },
    'a.test:22': 'port_not_allowed',
    'x.a.test:443': 'host_not_allowed',
    'xa.test:443': 'host_not_allowed',
    'b.test:443': 'host_not_allowed',
    'x.b.test:443': { isPrivate: false, anything: false },
    'x.y.b.test:443': { isPrivate: false, anything: false },
    'b.test.evil.test:443': 'host_not_allowed',
    [`${'x.'.repeat(9)}b.test:443`]: 'odd_name',
    'c.test:8443': { isPrivate: false, anything: true },
    'c.test:443': 'port_not_allowed',
    'd.test:443': { isPrivate: true, anything: false },
    'e.test:22': { isPrivate: true, anything: true },
    '8.8.8.8:443': { isPrivate: false, anything: false },
    '8.8.4.4:443': 'host_not_allowed',
  }
  for (const [text, allowed] of Object.entries(cases)) {
    const target = parseTarget(text)
    assert.ok(typeof target === 'object')
    assert.deepEqual(allowance(network, target), allowed, text)
  }
  for (const none of ['none', 'models'] as const)
    assert.equal(allowance(none, { host: 'a.test', port: 443 }), 'host_not_allowed')
  const all = (port: number) => allowance('all', { host: 'any.test', port })
  assert.deepEqual(all(443), { isPrivate: false, anything: false })
  assert.deepEqual(all(22), { isPrivate: false, anything: true })
  for (const port of [25, 8080, 3306, 6443]) assert.equal(all(port), 'port_not_allowed')
})

test("the hub's places are closed by name, by address, and at all local addresses if it listens on this machine", async () => {
  const closed = new ClosedPlaces(async (host) => (host === 'hub.test' ? ['10.0.0.7'] : []))
  const has = (places: string[], host: string, port: number, addresses: string[]) =>
    closed.has(places, { host, port }, addresses)
  assert.ok(await has(['hub.test:8787'], 'hub.test', 8787, ['10.1.1.1']))
  assert.ok(await has(['hub.test:8787'], 'other.test', 8787, ['10.0.0.7']))
  assert.ok(await has(['hub.test'], 'other.test', 22, ['10.0.0.7']))
  assert.ok(!(await has(['hub.test:8787'], 'other.test', 443, ['10.0.0.7'])))
  assert.ok(!(await has(['hub.test:8787'], 'other.test', 8787, ['10.0.0.8'])))
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  for (const { address } of own) assert.ok(await has(['127.0.0.1:8787'], 'me.test', 8787, [address]), address)
  assert.ok(await has(['[2A00:0:0::7]:8787'], 'other.test', 8787, ['2a00::7']))
  assert.ok(!(await has(['gone.test:8787'], 'other.test', 8787, ['10.0.0.7'])))
})
