import assert from 'node:assert/strict'
import test from 'node:test'
import { callersBehind } from './callers.ts'

const caller = (proxies: string[], remoteAddress: string, forwarded?: string) =>
  callersBehind(proxies)({
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    socket: { remoteAddress } as never,
  })

test('without proxies the header is ignored', () => {
  assert.equal(caller([], '203.0.113.9', '198.51.100.1'), '203.0.113.9')
  assert.equal(caller([], '::ffff:203.0.113.9'), '203.0.113.9')
})

test('an address that is not a proxy is not believed', () => {
  assert.equal(caller(['10.0.0.0/8'], '203.0.113.9', '198.51.100.1'), '203.0.113.9')
  assert.equal(caller(['127.0.0.1'], '127.0.0.2', '198.51.100.1'), '127.0.0.2')
})

test('the caller is the last address that is not a proxy, regardless of earlier ones', () => {
  assert.equal(caller(['10.0.0.1'], '10.0.0.1', '198.51.100.1'), '198.51.100.1')
  assert.equal(caller(['10.0.0.1'], '10.0.0.1', '1.1.1.1, 127.0.0.1, 198.51.100.1'), '198.51.100.1')
  assert.equal(caller(['10.0.0.0/8'], '10.0.0.1', '6.6.6.6,198.51.100.1 , 10.2.3.4,10.9.9.9'), '198.51.100.1')
  assert.equal(caller(['10.0.0.0/8'], '10.0.0.1', '10.0.0.7, 10.0.0.8'), '10.0.0.7')
})

test('a proxy that does not name the caller is the caller itself', () => {
  for (const header of [undefined, '', 'unknown', '1.2.3.4, unknown', '1.2.3.4,', '_hidden', '999.1.1.1'])
    assert.equal(caller(['10.0.0.1'], '10.0.0.1', header), '10.0.0.1', header)
})

test('IPv6, IPv4 in IPv6, and addresses with a port, zone or brackets are recognized as the same', () => {
  const v6 = ['2001:db8::/32', '::1']
  assert.equal(caller(v6, '::1', '2001:DB9:0:0::0:1'), '2001:db9::1')
  assert.equal(caller(v6, '2001:db8:7::1', '[2001:db9::1]:443, [2001:db8::9]'), '2001:db9::1')
  assert.equal(caller(['10.0.0.1'], '::ffff:10.0.0.1', '198.51.100.1:5123'), '198.51.100.1')
  assert.equal(caller(['::ffff:10.0.0.1'], '10.0.0.1', '::ffff:198.51.100.1'), '198.51.100.1')
  assert.equal(caller(['::ffff:10.0.0.0/104'], '10.1.1.1', '::ffff:c633:6401'), '198.51.100.1')
  assert.equal(caller(['fe80::/10'], 'fe80::1%eth0', '"[2001:db9::1]"'), '2001:db9::1')
})

test('a value that is neither an address nor a range is refused by name', () => {
  for (const wrong of [
    'proxy',
    '10.0.0.1/33',
    '10.0.0.1/',
    '10.0.0.1/8/8',
    '10.0.0.1:80',
    '::1/129',
    '10.0.0.1/x',
    '::ffff:10.0.0.1/8',
  ])
    assert.throws(() => callersBehind(['10.0.0.1', wrong]), new RangeError(wrong))
})
