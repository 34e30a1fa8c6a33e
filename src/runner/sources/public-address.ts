import { BlockList, isIP } from 'node:net'

/** Not of the public internet: IANA's special-purpose registry, and what clouds answer their guests on. */
const notPublic4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]
/** All of IPv6 that is public today; what maps or translates IPv4 by a prefix of its own lies outside. */
const public6 = '2000::/3'
/** Of it: protocol assignments with Teredo, documentation, and 6to4, which holds any IPv4 address. */
const notPublic6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

/** False also for what is no address. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !within(address, 'ipv4', notPublic4)
  // A zone names a network of this machine.
  if (family !== 6 || address.includes('%')) return false
  return within(address, 'ipv6', [public6]) && !within(address, 'ipv6', notPublic6)
}

function within(address: string, family: 'ipv4' | 'ipv6', subnets: readonly string[]): boolean {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net, bits] = subnet.split('/')
    list.addSubnet(net!, Number(bits), family)
  }
  return list.check(address, family)
}
