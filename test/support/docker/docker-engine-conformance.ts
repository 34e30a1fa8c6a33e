import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { extract } from 'tar-stream'
import type {
  BuildOrder,
  ContainerOrder,
  ContainerState,
  DockerEngine,
  LogPiece,
} from '../../../src/runner/docker/docker-engine.ts'
import { testingBuild } from './build-fixture.ts'

const MiB = 1024 ** 2
const FOR_EVER = 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'

export interface EngineUnderTest {
  engine: DockerEngine
  /** A name that no other test uses. Everything labelled with it is removed with the test. */
  runner: string
  /** An image with a busybox shell. */
  image: string
}

/** Checks what every container engine does. */
export function containerEngineConformance(
  engineName: string,
  skip: string | false,
  open: (t: TestContext) => Promise<EngineUnderTest>,
): void {
  const check = (name: string, run: (use: ReturnType<typeof using>) => Promise<void>): void => {
    test(`${engineName}: ${name}`, { skip }, async (t) => {
      const under = await open(t)
      await under.engine.prepareNetwork()
      await run(using(under))
    })
  }

  check('a container prints to both streams, with times, and ends with its exit code', async (use) => {
    const id = await use.create('echo out; echo err >&2; echo "$NAME"; exit 3', {
      env: { NAME: 'a b="c"\nd' },
    })
    assert.deepEqual(await use.engine.state(id), { type: 'created' })
    await use.engine.start(id)
    const pieces = await use.log(id)
    assert.equal(textOf(pieces, 'stdout'), 'out\na b="c"\nd\n')
    assert.equal(textOf(pieces, 'stderr'), 'err\n')
    for (const { time } of pieces) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
    const state = await use.ended(id)
    assert.deepEqual([state.exitCode, state.oom], [3, false])
    assert.ok(Date.parse(state.startedAt) > 0 && Date.parse(state.finishedAt) > 0)
  })

  check('its log is read from a time on, including the pieces of exactly that time', async (use) => {
    const id = await use.run('n=0; while [ $n -lt 500 ]; do echo line $n; n=$((n+1)); done')
    const all = await use.log(id)
    assert.equal(all.length, 500)
    for (const at of [0, 250, 499]) {
      const since = all[at]!.time
      const expected = all.filter(({ time }) => time >= since)
      for (const follow of [true, false])
        assert.deepEqual(await use.log(id, { since, follow }), expected, `from piece ${at}`)
    }
    assert.deepEqual(await use.log(id, { since: all[0]!.time.replace(/^\d+/, '2999') }), [])
  })

  check('the last words of a container are never lost', async (use) => {
    for (let n = 0; n < 8; n++) {
      const pieces = await use.log(await use.run('echo first; printf last'))
      assert.equal(textOf(pieces, 'stdout'), 'first\nlast')
    }
  })

  check('a log that rotates into new files is followed with each line once', async (use) => {
    const lines = 12_000
    const script = `i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); [ $((i % 200)) -ne 0 ] || sleep 0.02; done`
    const id = await use.create(script, { logBytes: 400_000 })
    await use.engine.start(id)
    const expected = Array.from({ length: lines }, (_, i) => `${i}\n`).join('')
    assert.ok(textOf(await use.log(id), 'stdout') === expected)
  })

  check('a log is followed while it grows, until its reader has enough', async (use) => {
    const id = await use.run('while :; do echo more; sleep 0.05; done')
    const enough = new AbortController()
    let count = 0
    for await (const _ of use.engine.logs(id, { follow: true, signal: enough.signal }))
      if (++count === 5) enough.abort()
    assert.equal(count, 5)
    assert.equal((await use.engine.state(id)).type, 'running')
  })

  check('lines of any length, and a last one without an end, arrive unchanged', async (use) => {
    const id = await use.run(`head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\303\\244\\000no end'`)
    assert.equal(textOf(await use.log(id), 'stdout'), `${'x'.repeat(100_000)}\nä\0no end`)
  })

  check('a container is asked to end, and killed after its grace', async (use) => {
    const container = await use.run(FOR_EVER)
    await use.printed(container, 'up')
    await use.engine.stop(container, 60)
    assert.equal((await use.ended(container)).exitCode, 0)
    const deaf = await use.run('trap "" TERM; echo up; while :; do sleep 0.1; done')
    await use.printed(deaf, 'up')
    await use.engine.stop(deaf, 1)
    const { exitCode, oom } = await use.ended(deaf)
    assert.deepEqual([exitCode, oom], [137, false])
    await use.engine.stop(deaf, 1)
  })

  check(
    'stopping or removing a missing container is not an error, and starting it is not_found',
    async (use) => {
      const id = await use.run(FOR_EVER)
      await use.engine.remove(id)
      await use.engine.remove(id)
      await use.engine.stop(id, 1)
      assert.deepEqual(await use.engine.state(id), { type: 'gone' })
      assert.deepEqual(await use.engine.wait(id, new AbortController().signal), { type: 'gone' })
      await assert.rejects(use.engine.start(id), { code: 'not_found' })
      await assert.rejects(use.log(id), { code: 'not_found' })
    },
  )

  check('a command that does not exist ends at once', async (use) => {
    const { id } = await use.engine.create(use.order({ command: ['/no/such/program'] }))
    await use.engine.start(id)
    assert.equal((await use.ended(id)).exitCode, 127)
    assert.match(textOf(await use.log(id), 'stderr'), /\/no\/such\/program/)
  })

  check('a name can be used once, and an unknown image or runtime creates no container', async (use) => {
    const order = use.order({})
    await use.engine.create(order)
    await assert.rejects(use.engine.create(order), { code: 'conflict' })
    await assert.rejects(use.engine.create(use.order({ image: 'errand.test/none:none' })), {
      code: 'not_found',
    })
    await assert.rejects(use.engine.create(use.order({ runtime: 'none' })), { code: 'invalid_argument' })
    assert.equal((await use.engine.containers({ runner: use.runner })).length, 1)
  })

  check('containers are found by their labels, and only those of the runner', async (use) => {
    const id = await use.create('true', {
      labels: { runner: use.runner, attempt: 'run_1.1', bot: 'one', owner: 'x/y' },
    })
    await use.create('true', { labels: { runner: use.runner, attempt: 'run_2.1' } })
    const found = await use.engine.containers({ runner: use.runner, attempt: 'run_1.1' })
    assert.deepEqual(
      found.map(({ id, labels, state }) => ({ id, labels, state })),
      [
        {
          id,
          labels: { runner: use.runner, attempt: 'run_1.1', bot: 'one', owner: 'x/y' },
          state: { type: 'created' },
        },
      ],
    )
    assert.equal((await use.engine.containers({ runner: use.runner })).length, 2)
    assert.deepEqual(await use.engine.containers({ runner: `${use.runner}-other` }), [])
  })

  check('events of a container are reported as they happen, and also those since its start', async (use) => {
    const received: string[] = []
    const enough = new AbortController()
    const opened = Promise.withResolvers<void>()
    const reported = Promise.withResolvers<void>()
    const listening = (async () => {
      for await (const event of use.engine.events({ runner: use.runner }, enough.signal)) {
        if (event.type === 'open') opened.resolve()
        else received.push(event.type)
        if (received.filter((type) => type === 'ended').length === 2) reported.resolve()
      }
    })().catch(() => {})
    await opened.promise
    const itself = await use.run('exit 0')
    const { startedAt } = await use.ended(itself)
    const seen = await use.engine.history(itself, startedAt)
    assert.deepEqual([...seen.seen], ['start', 'ended'])
    const stopped = await use.run(FOR_EVER)
    await use.printed(stopped, 'up')
    await use.engine.stop(stopped, 60)
    const ended = await use.ended(stopped)
    const { seen: all } = await use.engine.history(stopped, ended.startedAt)
    assert.deepEqual([...all], ['start', 'signaled', 'ended'])
    assert.deepEqual([...(await use.engine.history(stopped, '2999-01-01T00:00:00Z')).seen], [])
    await reported.promise
    enough.abort()
    await listening
    assert.deepEqual(received, ['start', 'ended', 'start', 'signaled', 'ended'])
    await use.engine.ping(60_000)
  })

  check("a container's usage is reported while it runs", async (use) => {
    const id = await use.run(`head -c 6m /dev/zero >/tmp/file; ${FOR_EVER}`)
    await use.printed(id, 'up')
    const used = (await use.engine.use(id))!
    assert.ok(
      used.memoryBytes >= 6 * MiB && used.memoryBytes < 64 * MiB && used.cpuMs > 0,
      JSON.stringify(used),
    )
    await use.engine.stop(id, 60)
    assert.equal(await use.engine.use(id), undefined)
    await use.engine.remove(id)
    assert.equal(await use.engine.use(id), undefined)
  })

  check('a container has the requested health check, otherwise that of its image', async (use) => {
    const of = async (part: Partial<ContainerOrder>) => {
      const id = await use.create(FOR_EVER, part)
      await use.engine.start(id)
      const state = await use.engine.state(id)
      return state.type === 'running' ? state.health?.state : state.type
    }
    const times = { intervalSeconds: 60, timeoutSeconds: 1, retries: 1, startPeriodSeconds: 0 }
    assert.equal(await of({}), undefined)
    assert.equal(await of({ health: { cmd: 'true', ...times } }), 'starting')
    const { id: image } = await use.build({
      Dockerfile: `FROM ${use.image}\nLABEL errand.test.run=${use.runner}\nHEALTHCHECK CMD true`,
    })
    assert.equal(await of({ image }), 'starting')
    assert.equal(await of({ image, health: 'none' }), undefined)
  })

  check('a container over its memory limit is ended, and this differs from another kill', async (use) => {
    const id = await use.run('exec tail /dev/zero')
    const { exitCode, startedAt } = await use.ended(id)
    assert.equal(exitCode, 137)
    assert.equal(await use.engine.wasOutOfMemory(id, startedAt), true)
    const killed = await use.run('kill -9 $$')
    assert.equal(await use.engine.wasOutOfMemory(killed, (await use.ended(killed)).startedAt), false)
  })

  check('a container is limited to its number of processes and to half a core', async (use) => {
    const id = await use.run('for n in $(seq 40); do sleep 100 & done 2>/dev/null; echo unreached')
    assert.notEqual((await use.ended(id)).exitCode, 0)
    assert.equal(textOf(await use.log(id), 'stdout'), '')
    const cpu = await use.run('cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null')
    assert.match(textOf(await use.log(cpu), 'stdout'), /^50000\b/)
  })

  check('a container can write only to /tmp, and only up to its limit', async (use) => {
    const id = await use.run(`
      for path in /file /etc/passwd /var/file /proc/sysrq-trigger; do echo x 2>/dev/null >$path && echo wrote $path; done
      echo x >/tmp/file && echo wrote /tmp
      head -c 20m /dev/zero >/tmp/large || echo full
      mount -t tmpfs none /mnt || echo no mount`)
    assert.equal(textOf(await use.log(id), 'stdout'), 'wrote /tmp\nfull\nno mount\n')
  })

  check(
    "a container's working folder and volumes start with the image's files, are writable, and are removed with it",
    async (use) => {
      const { id: image } = await use.build({
        Dockerfile: `FROM ${use.image}
RUN mkdir -p /srv/bot/in /data/in /sealed && echo code >/srv/bot/code && echo seed >/data/in/seed && chown 7:8 /srv/bot && chmod 700 /sealed
VOLUME /data /tmp /tmp/../more /sealed /srv/bot/in /srv/bot/new/place
WORKDIR /srv/bot
USER 99`,
      })
      const script = `pwd; cat code /data/in/seed; stat -c '%u:%g %a %n' . code /data /data/in /more /sealed
      for path in bot.db /data/new /more/new /data/in/new /sealed/new in/new new/place/new new/new /file /srv/file; do echo x 2>/dev/null >$path && echo wrote $path; done`
      const order = use.order({ image, command: ['sh', '-c', script] })
      const { id, volumes } = await use.engine.create(order)
      assert.equal(volumes.length, 6)
      await use.engine.start(id)
      assert.equal(
        textOf(await use.log(id), 'stdout'),
        `/srv/bot\ncode\nseed\n7:8 777 .\n0:0 644 code\n0:0 777 /data\n0:0 755 /data/in\n0:0 777 /more\n0:0 700 /sealed\nwrote bot.db\nwrote /data/new\nwrote /more/new\nwrote in/new\nwrote new/place/new\n`,
      )
      const found = await use.engine.volumes({ runner: use.runner })
      assert.deepEqual(found.map(({ name }) => name).sort(), [...volumes].sort())
      assert.equal(await use.engine.removeVolume(volumes[0]!), false)
      // A container that is started again finds what it has written; another one of the same image does not.
      await use.engine.start(id)
      await use.ended(id)
      assert.match(textOf(await use.log(id), 'stdout'), /code\n.*code\n/s)
      await use.engine.remove(id)
      assert.deepEqual(await use.engine.volumes({ runner: use.runner }), [])
      const other = await use.create('ls', { image })
      await use.engine.start(other)
      assert.equal(textOf(await use.log(other), 'stdout'), 'code\nin\nnew\n')
    },
  )

  check('a system folder as the working folder stays read-only', async (use) => {
    for (const folder of ['/', '/etc', '/usr/bin']) {
      const { id: image } = await use.build({
        Dockerfile: `FROM ${use.image}\nRUN mkdir -p ${folder}\nWORKDIR ${folder}`,
      })
      const { id, volumes } = await use.engine.create(
        use.order({ image, command: ['sh', '-c', 'pwd; echo x 2>/dev/null >file && echo wrote'] }),
      )
      assert.deepEqual(volumes, [])
      await use.engine.start(id)
      assert.equal(textOf(await use.log(id), 'stdout'), `${folder}\n`)
    }
  })

  check(
    'a data volume survives its containers, whichever user they run as, and can be read as a tar',
    async (use) => {
      const { id: image } = await use.build({ Dockerfile: `FROM ${use.image}\nUSER 99` })
      const volume = `${use.runner}-data`
      const order = (script: string, more: Partial<ContainerOrder> = {}) =>
        use.order({
          command: ['sh', '-c', script],
          data: { volume, path: '/data' },
          labels: { runner: use.runner, attempt: 'run_1.1', bot: 'one', owner: 'x/y' },
          ...more,
        })
      const first = await use.engine.create(order('echo kept >/data/file; mkdir /data/sub', { image }))
      assert.deepEqual(first.volumes, [])
      await use.engine.start(first.id)
      await use.ended(first.id)
      await use.engine.remove(first.id)
      assert.deepEqual(await use.engine.volumes({ runner: use.runner }), [
        { name: volume, labels: { runner: use.runner, bot: 'one', owner: 'x/y' } },
      ])
      const second = await use.engine.create(
        order('cat /data/file; echo more >/data/more && while :; do sleep 1; done'),
      )
      await use.engine.start(second.id)
      await use.printed(second.id, 'kept')
      assert.equal(await use.engine.removeVolume(volume), false)
      const names: string[] = []
      const entries = extract()
      ;(await use.engine.readVolume(volume, { runner: use.runner })).pipe(entries)
      for await (const entry of entries) {
        names.push(`${entry.header.uid} ${entry.header.name} ${await text(entry)}`)
      }
      assert.deepEqual(names.filter((name) => !name.includes('more')).sort(), [
        '0 ./ ',
        '99 ./file kept\n',
        '99 ./sub/ ',
      ])
      await assert.rejects(use.engine.readVolume(`${volume}-none`, { runner: use.runner }), {
        code: 'not_found',
      })
      await use.engine.remove(second.id)
      assert.equal((await use.engine.containers({ runner: use.runner })).length, 0)
      assert.equal(await use.engine.removeVolume(volume), true)
      assert.equal(await use.engine.removeVolume(volume), true)
      assert.deepEqual(await use.engine.volumes({ runner: use.runner }), [])
    },
  )

  check(
    'a data volume can be in the working folder, and an image may have only a few volumes',
    async (use) => {
      const { id: image } = await use.build({
        Dockerfile: `FROM ${use.image}\nRUN mkdir /app && echo code >/app/code\nWORKDIR /app\nUSER 99`,
      })
      const data = { volume: `${use.runner}-data`, path: '/app/data' }
      const script =
        'cat code; [ -e data/file ] && echo second >>data/file || echo first >data/file; cat data/file; echo x >file'
      for (const printed of ['code\nfirst\n', 'code\nfirst\nsecond\n']) {
        const { id } = await use.engine.create(use.order({ image, data, command: ['sh', '-c', script] }))
        await use.engine.start(id)
        assert.equal(textOf(await use.log(id), 'stdout'), printed)
        await use.engine.remove(id)
      }
      assert.equal(await use.engine.removeVolume(data.volume), true)
      const paths = Array.from({ length: 17 }, (_, index) => `/v${index}`)
      const { id: many } = await use.build({ Dockerfile: `FROM ${use.image}\nVOLUME ${paths.join(' ')}` })
      await assert.rejects(use.engine.create(use.order({ image: many })), { code: 'invalid_argument' })
      const { id: deep } = await use.build({ Dockerfile: `FROM ${use.image}\nVOLUME /a /a/b /a/b/c` })
      await assert.rejects(use.engine.create(use.order({ image: deep })), {
        message: /within volumes within/,
      })
      assert.deepEqual(await use.engine.volumes({ runner: use.runner }), [])
    },
  )

  check(
    "a data volume cannot be the image's working folder, because it would keep the old code",
    async (use) => {
      const { id: image } = await use.build({ Dockerfile: `FROM ${use.image}\nWORKDIR /app` })
      const data = { volume: `${use.runner}-data`, path: '/app' }
      await assert.rejects(use.engine.create(use.order({ image, data })), {
        code: 'invalid_argument',
        hint: /\/app\/data/,
      })
      assert.deepEqual(await use.engine.volumes({ runner: use.runner }), [])
    },
  )

  check('the contents of volumes are measured, with any names and however they are hidden', async (use) => {
    const { id: image } = await use.build({ Dockerfile: `FROM ${use.image}\nVOLUME /data` })
    const signal = new AbortController().signal
    const measured = async (script: string, enoughBytes = Number.POSITIVE_INFINITY) => {
      const { id, volumes } = await use.engine.create(
        use.order({ image, command: ['sh', '-c', `cd /data; ${script}`] }),
      )
      await use.engine.start(id)
      await use.ended(id)
      const bytes = await use.engine.volumeBytes(volumes, { enoughBytes, signal })
      await use.engine.remove(id)
      return bytes
    }
    assert.equal(await measured('true'), 0)
    const one = await measured('head -c 3000000 /dev/zero >file; ln file again; truncate -s 1g sparse')
    assert.ok(one >= 3_000_000 && one < 3_100_000, String(one))
    const many = await measured('for n in $(seq 100); do : >$n; done')
    assert.ok(many >= 100 * 4096 && many < 110 * 4096, String(many))
    const odd = await measured(
      `name=$(printf '\\377\\376'); mkdir $name && head -c 3000000 /dev/zero >$name/$name`,
    )
    assert.ok(odd >= 3_000_000, String(odd))
    const deep = `for n in $(seq 30); do mkdir ${'d'.repeat(200)} && cd ${'d'.repeat(200)} || break; done`
    assert.equal(await measured(`${deep}; head -c 3000000 /dev/zero >file`), Number.POSITIVE_INFINITY)
    const some = await measured('for n in $(seq 9); do head -c 1000000 /dev/zero >$n; done', 2_000_000)
    assert.ok(some > 2_000_000, String(some))
    assert.equal(await use.engine.volumeBytes([`${use.runner}-none`], { enoughBytes: 1, signal }), 0)
  })

  check('a container has one capability and gets no more', async (use) => {
    const id = await use.run(
      'grep -E "^(Cap|NoNewPrivs)" /proc/self/status | tr "\\t" " "; chown nobody /tmp || echo no',
    )
    const printed = textOf(await use.log(id), 'stdout')
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) assert.match(printed, new RegExp(`${set}: 0{13}400`))
    assert.match(printed, /NoNewPrivs: 1/)
    assert.match(printed, /no\n$/)
  })

  check('an image is built with arguments, labels and progress', async (use) => {
    const lines: string[] = []
    const built = await use.build(
      {
        Dockerfile: `FROM ${use.image}\nARG WORD\nCOPY file /file\nRUN echo "$WORD" >/word && echo said`,
        file: 'text',
      },
      { args: { WORD: 'hello' }, progress: (line) => lines.push(line) },
    )
    assert.ok(built.id.startsWith('sha256:'))
    assert.ok(lines.includes('said'), lines.join('\n'))
    assert.deepEqual(
      (await use.engine.images({ runner: use.runner })).map(({ id }) => id),
      [built.id],
    )
    const id = await use.create('cat /file /word', { image: built.id })
    await use.engine.start(id)
    assert.equal(textOf(await use.log(id), 'stdout'), 'texthello\n')
  })

  check(
    'a failed build reports its last lines, leaves no container, and its layers can be removed',
    async (use) => {
      const dockerfile = `FROM ${use.image}\nRUN echo ${use.runner} >/first\nRUN echo it breaks here && exit 7`
      await assert.rejects(
        use.build({ Dockerfile: dockerfile }),
        (error: { code: string; details: { lines: string[] } }) => {
          assert.equal(error.code, 'build_failed')
          assert.ok(error.details.lines.includes('it breaks here'))
          return true
        },
      )
      assert.deepEqual(await use.engine.containers({ runner: use.runner }), [])
      const [layers, ...more] = await use.engine.images({ runner: use.runner })
      assert.deepEqual([layers!.names, more], [[], []])
      assert.equal(await use.engine.removeImage(layers!.id), true)
      await assert.rejects(use.build({ Dockerfile: 'FROM errand.test/none:none' }), { code: 'build_failed' })
      await assert.rejects(use.build({ Dockerfile: 'NONSENSE here' }), { code: 'build_failed' })
      await assert.rejects(use.build({ other: '' }), { code: 'build_failed', message: /Dockerfile/ })
    },
  )

  check('a build has limits, and one that is aborted ends', async (use) => {
    const lines: string[] = []
    await assert.rejects(
      use.build({
        Dockerfile: `FROM ${use.image}\nRUN echo ${use.runner}; head -c 300m /dev/zero | tail >/dev/null`,
      }),
      { code: 'build_failed', hint: /memory/ },
    )
    await use
      .build(
        {
          Dockerfile: `FROM ${use.image}\nRUN for i in $(seq 200); do sleep 20 & done; echo ${use.runner} $(ls /proc | grep -c '^[0-9]') processes`,
        },
        { progress: (line) => lines.push(line) },
      )
      .catch(() => {})
    assert.match(lines.join('\n'), /can't fork|Resource temporarily unavailable/)
    lines.length = 0
    const stop = new AbortController()
    const building = use.build(
      { Dockerfile: `FROM ${use.image}\nRUN echo began ${use.runner} && sleep 1000` },
      {
        signal: stop.signal,
        progress: (line) => {
          lines.push(line)
          if (line === `began ${use.runner}`) stop.abort()
        },
      },
    )
    await assert.rejects(building, { name: 'AbortError' })
    assert.ok(lines.includes(`began ${use.runner}`))
  })

  check('a build is limited in disk space, wherever and however it writes', async (use) => {
    // A path that is too long to look up, as a program that measures the files below it would have to.
    const deep = `for n in $(seq 30); do mkdir ${'d'.repeat(200)} && cd ${'d'.repeat(200)} || break; done`
    const fill = (file: string) => `head -c 300m /dev/zero >${file}; sleep 120`
    for (const lines of [
      `RUN echo ${use.runner}; ${fill('/fill')}`,
      `RUN echo ${use.runner}; ${deep}; ${fill('/fill')}`,
      `VOLUME /data /more\nRUN echo ${use.runner}; ${fill('/data/fill')}`,
      `VOLUME /data\nRUN echo ${use.runner}; cd /data; ${deep}; ${fill('/data/fill')}`,
    ])
      await assert.rejects(
        use.build({ Dockerfile: `FROM ${use.image}\n${lines}` }),
        { code: 'build_failed', hint: /disk/ },
        lines,
      )
  })

  check('an image that becomes too large only by copies ends its build', async (use) => {
    const limits = { memoryBytes: 64 * MiB, cpus: 1, processes: 50, diskBytes: 10 * MiB }
    // Each layer has a label: an engine takes its time to end an aborted build, and its last layer stays until then.
    const copies = `FROM ${use.image}\nLABEL errand.runner=${use.runner}\nCOPY file /1\nCOPY file /2`
    for (const Dockerfile of [`${copies}\nRUN sleep 120`, copies])
      await assert.rejects(use.build({ Dockerfile, file: 'x'.repeat(6 * MiB) }, { limits }), {
        code: 'build_failed',
        message: /^The image uses 1\d MB of disk space, .* 10 MB/,
      })
  })

  check('an image in use stays, and is removed with all its names afterwards', async (use) => {
    const { id: image } = await use.build({ Dockerfile: `FROM ${use.image}\nRUN echo ${use.runner} >/mine` })
    const name = `errand.test/${use.runner}:second`
    await use.engine.tag(image, name)
    assert.equal((await use.engine.image(name))!.id, image)
    const id = await use.create('true', { image })
    assert.equal(await use.engine.removeImage(image), false)
    assert.equal((await use.engine.image(image))!.names.length, 2)
    await use.engine.remove(id)
    assert.equal(await use.engine.removeImage(image), true)
    assert.equal(await use.engine.image(image), undefined)
    assert.equal(await use.engine.image(name), undefined)
  })
}

function using({ engine, runner, image }: EngineUnderTest) {
  let count = 0
  const never = new AbortController().signal
  const order = (part: Partial<ContainerOrder>): ContainerOrder => ({
    name: `${runner}-${++count}`,
    image,
    command: ['sh', '-c', 'true'],
    env: {},
    limits: { memoryBytes: 64 * MiB, cpus: 0.5, processes: 20, tmpBytes: 8 * MiB },
    logBytes: 10 * MiB,
    stopGraceSeconds: 1,
    labels: { runner },
    ...part,
  })
  const create = async (script: string, part: Partial<ContainerOrder> = {}): Promise<string> =>
    (await engine.create(order({ command: ['sh', '-c', script], ...part }))).id
  return {
    engine,
    runner,
    image,
    order,
    create,
    async run(script: string): Promise<string> {
      const id = await create(script)
      await engine.start(id)
      return id
    },
    async log(id: string, options: { since?: string; follow?: boolean } = {}): Promise<LogPiece[]> {
      const pieces: LogPiece[] = []
      for await (const piece of engine.logs(id, { follow: true, signal: never, ...options }))
        pieces.push(piece)
      return pieces
    },
    async printed(id: string, text: string): Promise<void> {
      const enough = new AbortController()
      for await (const { bytes } of engine.logs(id, { follow: true, signal: enough.signal }))
        if (bytes.includes(text)) return enough.abort()
      assert.fail(`it has ended without printing ${text}`)
    },
    async ended(id: string): Promise<ContainerState & { type: 'exited' }> {
      const state = await engine.wait(id, never)
      assert.equal(state.type, 'exited')
      return state as ContainerState & { type: 'exited' }
    },
    build(files: Record<string, string>, part: Partial<BuildOrder> = {}) {
      const limits = { memoryBytes: 64 * MiB, cpus: 1, processes: 50, diskBytes: 100 * MiB }
      return engine.build(testingBuild(runner, files, { limits, ...part }))
    },
  }
}

const textOf = (pieces: readonly LogPiece[], stream: LogPiece['stream']): string =>
  Buffer.concat(pieces.filter((piece) => piece.stream === stream).map(({ bytes }) => bytes)).toString()
