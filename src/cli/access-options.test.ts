import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allowedHosts, metricsOpen } from './access-options.ts'

test('names of the hub are read one by one; what is no name is refused', () => {
  assert.deepEqual(allowedHosts({}), [])
  assert.deepEqual(allowedHosts({ ERRAND_HOST_ALLOW: ' Hub.Example.com, hub,' }), ['hub.example.com', 'hub'])
  for (const wrong of ['https://hub', 'hub:3000', 'a b', '*.example.com'])
    assert.throws(() => allowedHosts({ ERRAND_HOST_ALLOW: `hub,${wrong}` }), {
      message: `ERRAND_HOST_ALLOW has "${wrong}"`,
    })
})

test('figures are open where that is said, and nothing else can be', () => {
  assert.deepEqual([metricsOpen({}), metricsOpen({ ERRAND_METRICS: 'open' })], [false, true])
  assert.throws(() => metricsOpen({ ERRAND_METRICS: 'yes' }), /ERRAND_METRICS is "yes"/)
})
