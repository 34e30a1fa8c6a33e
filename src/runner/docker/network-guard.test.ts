import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { promisify } from 'node:util'
import { dockerHere } from '../../../test/support/docker/docker.ts'
import {
  bridgeName,
  buildBridges,
  buildsChain,
  guardChain,
  guardRules,
  hookFirst,
  NetworkGuard,
  staleRules,
} from './network-guard.ts'

const NOBODY = 65_534
const skip = process.platform === 'linux' ? false : 'iptables is a thing of Linux'

const bridge = { chain: 'ERRAND-bots', bridge: 'errand-bots', subnets: ['203.0.113.0/24'], forges: false }

test('someone who may not set rules learns that, and what to do', { skip }, async () => {
  const isRoot = process.geteuid!() === 0
  if (isRoot) process.seteuid!(NOBODY)
  try {
    const bridge = { chain: 'ERRAND-none', bridge: 'errand-none', subnets: [], forges: false }
    await assert.rejects(new NetworkGuard().set([bridge], []), {
      code: 'unavailable',
      message: /^The network of bots cannot be closed: iptables (says: .*|is not installed)/,
      hint: /as root.*ERRAND_BOT_NETWORK_GUARD=external/,
    })
  } finally {
    if (isRoot) process.seteuid!(0)
  }
})

test('several guards remove the same rules at once', {
  skip: (await dockerHere()) || (process.geteuid!() === 0 ? false : 'only root sets rules'),
}, async () => {
  const networks = ['a', 'b', 'c'].map((name) => `errand-test-${process.pid}-${name}`)
  const gone = networks.map((network) => ({
    chain: guardChain(network),
    bridge: bridgeName(network),
    subnets: [],
    forges: false,
  }))
  for (let round = 0; round < 5; round++) {
    await new NetworkGuard().set(gone, [])
    await Promise.all(Array.from({ length: 4 }, () => new NetworkGuard().removeStale()))
    const { stdout } = await promisify(execFile)('iptables', ['-w', '10', '-t', 'raw', '-S'], {
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    })
    for (const { chain, bridge } of gone) assert.ok(!stdout.includes(chain) && !stdout.includes(bridge))
  }
})

test('open destinations come before closed ones, and the own subnet is closed too', () => {
  const lines = guardRules([bridge], [{ address: '10.0.0.2', port: 53 }], []).split('\n')
  const open = lines.findIndex((line) => line.includes('-d 10.0.0.2 -p udp --dport 53 -j RETURN'))
  const machine = lines.findIndex((line) => line.includes('! --dst-type UNICAST -j DROP'))
  assert.ok(open > 0 && machine > open)
  for (const range of ['10.0.0.0/8', '169.254.0.0/16', '100.64.0.0/10', '203.0.113.0/24'])
    assert.ok(lines.findIndex((line) => line.endsWith(`-d ${range} -j DROP`)) > machine, range)
})

test('a name of any length gives a bridge name that Linux accepts', () => {
  for (const name of ['a', 'n'.repeat(100)]) {
    assert.ok(bridgeName(name).length <= 15)
    assert.ok(`${buildBridges(name)}12345`.length <= 15)
  }
  assert.notEqual(bridgeName('bots'), bridgeName('bots-2'))
})

test('a forged sender is dropped before anything is let through, if forging is possible', () => {
  const open = [{ address: '10.0.0.2', port: 53 }]
  const forged = '-A ERRAND-bots -m rpfilter --invert -j DROP'
  const lines = guardRules([{ ...bridge, forges: true }], open, []).split('\n')
  assert.equal(
    lines.findIndex((line) => line.startsWith('-A')),
    lines.indexOf(forged),
  )
  assert.ok(!guardRules([bridge], open, []).includes('rpfilter'))
})

test('rules of removed networks and of their builds are removed, and no others', () => {
  const rulesOf = (name: string, bridge = bridgeName(name)) => ({
    chains: [guardChain(name), buildsChain(name)],
    hooks: [
      `-A PREROUTING -i ${bridge} -j ${guardChain(name)}`,
      `-A PREROUTING -i ${buildBridges(name)}+ -j ${buildsChain(name)}`,
    ],
    v6: [bridge, `${buildBridges(name)}+`].map((each) => `-A PREROUTING -i ${each} -j DROP`),
  })
  const [gone, here, named] = [rulesOf('gone'), rulesOf('here'), rulesOf('named', 'br-1234')]
  const all = [gone, here, named]
  const v4 = [
    ...all.flatMap(({ chains }) => chains.map((chain) => `-N ${chain}`)),
    '-N ERRAND-OF-OTHERS',
    ...all.flatMap(({ hooks }) => hooks),
    '-A PREROUTING -i gone0 -j ERRAND-OF-OTHERS',
    ...gone.chains.map((chain) => `-A ${chain} -d 10.0.0.0/8 -j DROP`),
  ]
  const v6 = [...all.flatMap((rules) => rules.v6), '-A PREROUTING -i gone0 -j DROP']
  const there = [bridgeName('here'), 'br-1234']
  const stale = staleRules({ v4: v4.join('\n'), v6: v6.join('\n') }, (name) => there.includes(name))
  assert.deepEqual(stale, {
    v4: [
      ...gone.hooks.map((rule) => rule.replace('-A', '-D')),
      ...gone.chains.map((chain) => `-F ${chain}`),
      ...gone.chains.map((chain) => `-X ${chain}`),
    ],
    v6: gone.v6.map((rule) => rule.replace('-A', '-D')),
  })
})

test('the hook is put first, moved there, or left among others like it', () => {
  const own = '-i errand-1 -j ERRAND-1'
  const other = '-A PREROUTING -i errand-2 -j ERRAND-2'
  const foreign = '-A PREROUTING -i errand-1 -j ACCEPT'
  const insert = `-I PREROUTING 1 ${own}`
  assert.deepEqual(hookFirst('-P PREROUTING ACCEPT\n', [own]), [insert])
  assert.deepEqual(hookFirst(`${other}\n-A PREROUTING ${own}\n${foreign}\n`, [own]), [])
  assert.deepEqual(hookFirst(`${foreign}\n-A PREROUTING ${own}\n`, [own]), [`-D PREROUTING ${own}`, insert])
})
