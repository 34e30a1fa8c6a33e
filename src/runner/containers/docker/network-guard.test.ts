import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NetworkGuard } from './network-guard.ts'

const NOBODY = 65_534
const skip = process.platform === 'linux' ? false : 'iptables is a thing of Linux'

test('who may not set rules is told so, with what to do', { skip }, async () => {
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
