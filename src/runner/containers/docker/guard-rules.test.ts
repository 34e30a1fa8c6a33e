import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bridgeName, guardRules, hookFirst } from './guard-rules.ts'

const bridge = { network: 'bots', bridge: 'errand-bots', subnets: ['203.0.113.0/24'] }

test('what is open comes before what is closed, and the own subnet is closed too', () => {
  const lines = guardRules([bridge], [{ address: '10.0.0.2', port: 53 }], []).split('\n')
  const open = lines.findIndex((line) => line.includes('-d 10.0.0.2 -p udp --dport 53 -j RETURN'))
  const machine = lines.findIndex((line) => line.includes('! --dst-type UNICAST -j DROP'))
  assert.ok(open > 0 && machine > open)
  for (const range of ['10.0.0.0/8', '169.254.0.0/16', '100.64.0.0/10', '203.0.113.0/24'])
    assert.ok(lines.findIndex((line) => line.endsWith(`-d ${range} -j DROP`)) > machine, range)
})

test('a name of any length gives a bridge that Linux takes', () => {
  for (const name of ['a', 'n'.repeat(100)]) assert.ok(bridgeName(name).length <= 15)
  assert.notEqual(bridgeName('bots'), bridgeName('bots-builds'))
})

test('the hook is put first, moved there, or left where it stands among its like', () => {
  const own = '-i errand-1 -j ERRAND-1'
  const other = '-A PREROUTING -i errand-2 -j ERRAND-2'
  const foreign = '-A PREROUTING -i errand-1 -j ACCEPT'
  const insert = `-I PREROUTING 1 ${own}`
  assert.deepEqual(hookFirst('-P PREROUTING ACCEPT\n', [own]), [insert])
  assert.deepEqual(hookFirst(`${other}\n-A PREROUTING ${own}\n${foreign}\n`, [own]), [])
  assert.deepEqual(hookFirst(`${foreign}\n-A PREROUTING ${own}\n`, [own]), [`-D PREROUTING ${own}`, insert])
})
