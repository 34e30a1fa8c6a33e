import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { extract } from 'tar-stream'
import { type BotPlace, botPlace } from '../../../test/support/docker/bot-place.ts'
import { baseImage, dockerFor, dockerHere, labelled } from '../../../test/support/docker/docker.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { answerData, dataVolume, ownerText } from './bot-data.ts'
import { BotSweeps } from './bot-sweeps.ts'
import { pauseMs } from './volume-usage.ts'

const skip = await dockerHere()
const never = new AbortController().signal
const volumesOf = async ({ label }: BotPlace) => (await labelled(label)).volumes

/** Makes an image of busybox with a working folder. */
async function withFolder(t: Parameters<typeof dockerFor>[0], folder = '/app'): Promise<string> {
  const docker = dockerFor(t)
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  const [repo, tag] = [`errand.test/${docker.name('folder')}`, 'v1']
  await container.commit({ repo, tag, changes: `WORKDIR ${folder}` })
  return `${repo}:${tag}`
}

test('a bot that writes more into its working folder than allowed is ended, with both numbers', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const image = await withFolder(t)
  const attempts = here.open()
  const spec = here.bot(
    'head -c 3m /dev/zero >file; echo within; while [ ! -e /tmp/go ]; do [ -e go ] && break; sleep 0.1; echo more >>file; head -c 6m /dev/zero >large; done',
    {
      source: { mode: 'image', image },
      limits: { work: '5MB' },
    },
  )
  const attempt = await attempts.start(spec, 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'quota'])
  assert.match(end.message!, /written .* MB or more to its working folder .* the limit is 5 MB/)
  assert.match(await textOf(attempt), /^within\n/)
  assert.deepEqual(await volumesOf(here), [])
  await attempts.close()
})

test('a bot that writes too much while it stops is ended at once, and its end keeps its cause', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const image = await withFolder(t)
  const attempts = here.open()
  const fill = 'head -c 20m /dev/zero >file; while :; do sleep 0.1; done'
  const spec = here.bot(`trap "${fill}" TERM; echo up; while :; do sleep 0.1; done`, {
    source: { mode: 'image', image },
    limits: { work: '5MB' },
    stop_grace_seconds: 600,
  })
  const attempt = await attempts.start(spec, 1)
  await until(async () => (await textOf(attempt)) === 'up\n')
  attempt.cancel(600_000, 'canceled')
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['canceled', 'canceled'])
  assert.deepEqual(await volumesOf(here), [])
  await attempts.close()
})

test('a bot that hides what it writes, in deleted files or endless paths, is ended', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const image = await withFolder(t)
  const attempts = here.open()
  const deep = `for n in $(seq 30); do mkdir ${'d'.repeat(200)} && cd ${'d'.repeat(200)} || break; done`
  for (const hidden of ['exec 3>file; rm file; head -c 20m /dev/zero >&3', `${deep}; echo x >file`]) {
    const spec = here.bot(`${hidden}; while :; do sleep 1; done`, {
      source: { mode: 'image', image },
      limits: { work: '5MB' },
    })
    const attempt = await attempts.start(spec, 1)
    const end = await endOf(attempt)
    assert.deepEqual([end.outcome, end.reason], ['failed', 'quota'], hidden)
  }
  await attempts.close()
})

test('data outlives its bot and is found again, and a bot over its limit ends', { skip }, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const data = { path: '/state', size: '5MB' }
  const bot = (script: string, more = {}, spec = {}) =>
    here.bot(script, { bot_id: 'keeper', data, ...more }, spec)
  const first = await attempts.start(bot('echo one >/state/file; exit 0'), 1)
  assert.equal((await endOf(first)).outcome, 'success')
  const second = await attempts.start(bot('cat /state/file; exit 0'), 1)
  await endOf(second)
  assert.equal(await textOf(second), 'one\n')
  // Those of another bot, of another user, and of none.
  for (const other of [
    bot('ls /state; exit 0', { bot_id: 'other' }),
    bot('ls /state; exit 0', {}, { owner: 'bob' }),
    bot('ls -d /state; exit 0', { data: undefined }),
  ]) {
    const attempt = await attempts.start(other, 1)
    await endOf(attempt)
    assert.equal(await textOf(attempt), '')
  }
  const full = await attempts.start(bot('head -c 8m /dev/zero >/state/large; while :; do sleep 1; done'), 1)
  const end = await endOf(full)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'quota'])
  assert.match(end.message!, /data folder has .* or more, but the limit is 5 MB/)
  const ask = { bot_id: 'keeper', owner: 'ann', tenant: 'default' }
  const { bytes } = await answerData('a', { ...ask, what: 'measure' }, here.services, never)
  assert.ok(bytes! > 8 * 1024 ** 2)
  await attempts.close()
})

test('data is exported byte for byte while the bot runs and after, and removed only then', {
  skip,
}, async (t) => {
  const sent: Buffer[] = []
  const here = await botPlace(t, {
    sendData: async (_, make) => {
      sent.length = 0
      for await (const chunk of await make()) sent.push(Buffer.from(chunk))
    },
  })
  const attempts = here.open()
  const script =
    'cp /bin/busybox /data/program; md5sum </data/program; echo "$TOKEN" >/data/token; echo up; while :; do sleep 1; done'
  const attempt = await attempts.start(
    here.bot(script, { bot_id: 'keeper', data: { path: '/data', size: '1GB' } }, { env: { TOKEN: 'plain' } }),
    1,
  )
  await until(async () => (await textOf(attempt)).includes('up'))
  const ask = { bot_id: 'keeper', owner: 'ann', tenant: 'default' }
  const exported = async () => {
    const answer = await answerData('a', { ...ask, what: 'export' }, here.services, never)
    assert.equal(answer.error, undefined)
    const entries = extract()
    entries.end(Buffer.concat(sent))
    const files: Record<string, number | string> = {}
    for await (const entry of entries) {
      if (entry.header.name.endsWith('token')) files[entry.header.name] = await text(entry)
      else {
        files[entry.header.name] = entry.header.size ?? 0
        entry.resume()
      }
    }
    return files
  }
  const whileUp = await exported()
  assert.equal(whileUp['./token'], 'plain\n')
  assert.ok((whileUp['./program'] as number) > 100_000)
  const refused = await answerData('a', { ...ask, what: 'remove' }, here.services, never)
  assert.equal(refused.error?.code, 'conflict')
  attempt.cancel(0, 'canceled')
  await endOf(attempt)
  await attempt.release()
  assert.deepEqual(await exported(), whileUp)
  assert.deepEqual(await here.containers(), [])
  // A request for another's data, or in another's name, finds none.
  for (const other of [{ owner: 'bob' }, { bot_id: 'other' }, { tenant: 'other' }]) {
    const answer = await answerData('a', { ...ask, ...other, what: 'export' }, here.services, never)
    assert.equal(answer.error?.code, 'not_found')
  }
  assert.deepEqual(await answerData('a', { ...ask, what: 'remove' }, here.services, never), { exists: false })
  assert.deepEqual(await volumesOf(here), [])
  await attempts.close()
})

test('the sweep removes working folders without an attempt, and leaves data', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const image = await withFolder(t)
  const attempts = here.open()
  const spec = here.bot('echo up; while :; do sleep 1; done', {
    source: { mode: 'image', image },
    bot_id: 'keeper',
    data: { path: '/data', size: '1GB' },
  })
  const attempt = await attempts.start(spec, 1)
  await until(async () => (await textOf(attempt)).includes('up'))
  const sweep = async (holds: boolean) => {
    const lines: string[] = []
    const sweeps = new BotSweeps({
      services: here.services,
      holds: () => holds,
      log: (line) => void lines.push(line),
    })
    await sweeps.sweep()
    await sweeps.close()
    return lines
  }
  assert.equal((await volumesOf(here)).length, 2)
  assert.deepEqual(await sweep(true), [])
  // Somebody else removes the container, and leaves its volumes.
  const [id] = await here.containers()
  await dockerFor(t).engine.getContainer(id!).remove({ force: true })
  await endOf(attempt)
  assert.equal((await volumesOf(here)).length, 2)
  assert.equal((await sweep(false)).length, 1)
  const data = dataVolume({ runner: here.services.runner, owner: ownerText(spec), bot: 'keeper' })
  assert.deepEqual(await volumesOf(here), [data])
  await attempts.close()
})

test('a bot whose folders take long to measure is still checked every ten seconds', () => {
  assert.deepEqual([10, 1_000, 60_000].map(pauseMs), [1_000, 5_000, 10_000])
})
