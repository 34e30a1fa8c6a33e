import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits, requestedHolder } from './limit-choice.ts'
import { minLimits } from './limit-keeper.ts'

test("the machine's limits are read from its environment", () => {
  const env = {
    ERRAND_LIMIT_MEMORY: '2GB',
    ERRAND_LIMIT_CPUS: '1.5',
    ERRAND_LIMIT_PROCESSES: '200',
    ERRAND_LIMIT_DISK: '',
  }
  const limits = { cpus: 1.5, memory_bytes: 2 * 1024 ** 3, processes: 200, disk_bytes: undefined }
  assert.deepEqual(defaultLimits(env), limits)
  assert.equal(requestedHolder({}), undefined)
  assert.equal(requestedHolder({ ERRAND_LIMITS: 'watchdog' }), 'watchdog')
})

test('an invalid limit is refused by name, with what it should be', () => {
  assert.throws(() => defaultLimits({ ERRAND_LIMIT_CPUS: '-1' }), {
    code: 'invalid_argument',
    message: 'ERRAND_LIMIT_CPUS is "-1", which is not valid.',
    hint: 'Give a number of cores, such as 2 or 0.5.',
  })
  for (const name of ['ERRAND_LIMIT_MEMORY', 'ERRAND_LIMIT_DISK'])
    assert.throws(
      () => defaultLimits({ [name]: '4' }),
      { message: `${name} is "4", which is not valid.` },
      'the unit is missing',
    )
  assert.throws(() => requestedHolder({ ERRAND_LIMITS: 'toString' }), { code: 'invalid_argument' })
})

test('the lower of two limits counts, and one alone is enough', () => {
  assert.deepEqual(minLimits({ cpus: 2, processes: 5 }, { cpus: 1, memory_bytes: 7 }), {
    cpus: 1,
    memory_bytes: 7,
    processes: 5,
    disk_bytes: undefined,
  })
})
