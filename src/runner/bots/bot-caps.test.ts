import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BotServeArgs } from '../../contract/bots/bot.ts'
import { botCaps, capsToReport, checkCaps, containerLimits } from './bot-caps.ts'

const plan = (more: object) =>
  BotServeArgs.parse({ bot_id: 'bot', source: { mode: 'image', image: 'busybox' }, ...more })

test("a request over the runner's maximum is refused with both numbers", () => {
  const caps = botCaps({
    ERRAND_BOT_MAX_MEMORY: '1GB',
    ERRAND_BOT_MAX_CPUS: '1.5',
    ERRAND_BOT_MAX_PROCESSES: '200',
    ERRAND_BOT_MAX_DISK: '64MB',
    ERRAND_BOT_MAX_LOG: '50MB',
  })
  checkCaps(plan({}), caps)
  checkCaps(plan({ limits: { memory: '1024MB', cpus: 1.5, processes: 200, disk: 67_108_864 } }), caps)
  const refused: [object, RegExp][] = [
    [{ memory: '1025MB' }, /^limits\.memory is 1025MB, but .* may have at most 1GB\./],
    [{ memory: 1024 ** 3 + 1 }, /^limits\.memory is 1073741825, .* 1GB/],
    [{ cpus: 2 }, /^limits\.cpus is 2, .* 1\.5/],
    [{ processes: 201 }, /^limits\.processes is 201, .* 200/],
    [{ disk: '1TB' }, /^limits\.disk is 1TB, .* 64MB/],
    [{ log: '51MB' }, /^limits\.log is 51MB, .* 50MB/],
  ]
  for (const [limits, message] of refused)
    assert.throws(() => checkCaps(plan({ limits }), caps), {
      code: 'invalid_argument',
      message,
      hint: /ERRAND_BOT_MAX_/,
    })
})

test("without settings, memory and cores are the machine's, and processes and log are limited", () => {
  const caps = botCaps({})
  checkCaps(plan({ limits: { memory: '900GB', cpus: 1000, disk: '900GB' }, runtime: 'runsc' }), caps)
  assert.throws(() => checkCaps(plan({ limits: { processes: 5000 } }), caps), /5000, .* 4096/)
  assert.throws(() => checkCaps(plan({ limits: { log: '2GB' } }), caps), /2GB, .* 1GB/)
})

test('when the operator names runtimes, a bot may use no other', () => {
  const caps = botCaps({ ERRAND_BOT_RUNTIME: 'runsc, kata' })
  assert.equal(caps.runtimes[0], 'runsc')
  for (const runtime of [undefined, 'runsc', 'kata']) checkCaps(plan({ runtime }), caps)
  assert.throws(() => checkCaps(plan({ runtime: 'runc' }), caps), {
    code: 'invalid_argument',
    message: /"runc"\. Allowed: runsc, kata\./,
  })
})

test("a bot's weight is its share of the cores for bots, and the hub learns the limits", () => {
  const weight = (env: object, limits: object) =>
    containerLimits(plan({ limits }).limits, undefined, botCaps({ ...env }).cpuOvercommit).cpuShares
  assert.deepEqual([weight({}, {}), weight({}, { cpus: 2 }), weight({}, { cpus: 0.001 })], [51, 205, 2])
  assert.equal(weight({ ERRAND_BOT_CPU_OVERCOMMIT: '1' }, {}), 512)
  assert.deepEqual(
    JSON.parse(
      JSON.stringify(capsToReport(botCaps({ ERRAND_BOT_CPU_OVERCOMMIT: '4', ERRAND_BOT_MAX_MEMORY: '1GB' }))),
    ),
    {
      cpu_overcommit: 4,
      most: { memory_bytes: 1024 ** 3, processes: 4096, work_bytes: 10 * 1024 ** 3, log_bytes: 1024 ** 3 },
    },
  )
  assert.equal(capsToReport(botCaps({}))!.cpu_overcommit, undefined)
})

test('an invalid setting is refused by name', () => {
  for (const [name, value] of [
    ['MEMORY', 'much'],
    ['CPUS', '-1'],
    ['PROCESSES', '1.5'],
    ['DISK', '0'],
    ['LOG', 'x'],
  ])
    assert.throws(() => botCaps({ [`ERRAND_BOT_MAX_${name}`]: value }), {
      code: 'invalid_argument',
      message: new RegExp(`^ERRAND_BOT_MAX_${name} is "${value}"`),
    })
  for (const [name, value] of [
    ['ERRAND_BOT_CPU_OVERCOMMIT', '0.5'],
    ['ERRAND_BOT_CPU_OVERCOMMIT', 'x'],
    ['ERRAND_BUILDS', '0'],
  ] as const)
    assert.throws(() => botCaps({ [name]: value }), {
      code: 'invalid_argument',
      message: new RegExp(`^${name} is "${value}"`),
      hint: /Write it as/,
    })
})
