import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allowedHosts, metricsOpen, outputLimits } from './access-options.ts'

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

test('how much output a hub keeps is read as an amount; each limit can be taken away', () => {
  const read = (run?: string, user?: string) =>
    outputLimits({ ERRAND_MAX_OUTPUT_RUN: run, ERRAND_MAX_OUTPUT_USER: user })
  assert.deepEqual(read(), { perRunBytes: 10 * 1024 ** 3, perUserBytes: undefined })
  assert.deepEqual(read('', ''), read())
  assert.deepEqual(read('500MB', '1.5 TB'), { perRunBytes: 500 * 1024 ** 2, perUserBytes: 1.5 * 1024 ** 4 })
  assert.deepEqual(read('none', 'none'), { perRunBytes: undefined, perUserBytes: undefined })
  assert.throws(() => read('10'), /ERRAND_MAX_OUTPUT_RUN is "10"/)
  assert.throws(() => read('', 'lots'), /ERRAND_MAX_OUTPUT_USER is "lots"/)
})
