import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { baseImage, dockerFor, dockerHere } from '../support/docker/docker.ts'
import { inside } from '../support/docker/inside.ts'
import { eventually } from '../support/errand-command.ts'
import { workflowText } from '../support/programs.ts'

const root = join(import.meta.dirname, '../..')
const execute = promisify(execFile)
const skip =
  process.env.ERRAND_TEST_NO_SKIPS === '1'
    ? await dockerHere()
    : 'it boots a systemd that may change the cgroups of this machine; ERRAND_TEST_NO_SKIPS=1 lets it'

/**
 * Returns the Dockerfile of a Debian with systemd, the units, and this checkout at /opt/errand, as docs/deploy.md
 * says.
 */
const dockerfile = (base: string): string => `
FROM ${base}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd git >/dev/null
COPY errand.sysusers.conf /usr/lib/sysusers.d/errand.conf
COPY *.service /etc/systemd/system/
RUN ln -s /opt/errand/bin/errand /usr/local/bin/errand && mkdir /etc/errand && systemd-sysusers
ENV container=docker
ENTRYPOINT ["/lib/systemd/systemd"]
`

test('under systemd a step survives the restart of runner and hub, and both are hardened as their units say', {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const folder = mkdtempSync(join(tmpdir(), 'errand-services-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(root, 'deploy/systemd'), folder, { recursive: true })
  writeFileSync(join(folder, 'Dockerfile'), dockerfile(await baseImage('node:24-slim')))
  const image = docker.name('systemd')
  await execute(
    'docker',
    [
      'build',
      '-q',
      '--force-rm',
      '--label',
      `errand.test=${docker.labels['errand.test']}`,
      '-t',
      image,
      folder,
    ],
    { env: { ...process.env, DOCKER_BUILDKIT: '0' } },
  )
  const hostConfig = {
    CapAdd: ['SYS_ADMIN', 'SYS_PTRACE'],
    SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
    CgroupnsMode: 'host',
    Binds: ['/sys/fs/cgroup:/sys/fs/cgroup:rw', `${root}:/opt/errand:ro`],
    Tmpfs: { '/run': '', '/run/lock': '' },
  }
  const machine = await docker.engine.createContainer({
    Image: image,
    Labels: docker.labels,
    HostConfig: hostConfig,
  })
  await machine.start()
  const systemctl = (...args: string[]) => inside(machine, ['systemctl', ...args])
  const errand = (args: string[], input?: string) =>
    inside(
      machine,
      ['env', 'HOME=/var/lib/errand', 'ERRAND_DATA=/var/lib/errand/data', 'errand', ...args],
      input,
    )
  await eventually('systemd', () =>
    systemctl('start', 'errand-hub').then(
      () => true,
      () => false,
    ),
  )
  const enrolled = await eventually('the hub', () =>
    errand(['runners', 'enroll-token', '--json']).then(JSON.parse, () => undefined),
  )
  const environment = [
    'ERRAND_HUB_URL=http://127.0.0.1:3000',
    `ERRAND_ENROLL_TOKEN=${enrolled.token}`,
    'ERRAND_RUNNER_ID=unit',
  ].join('\n')
  await inside(machine, ['sh', '-c', 'cat >/etc/errand/runner.env'], environment)
  await systemctl('start', 'errand-runner')

  const status = async (unit: string) => {
    const pid = (await systemctl('show', '-p', 'MainPID', '--value', unit)).trim()
    const text = await inside(machine, ['cat', `/proc/${pid}/status`])
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(text)?.[1]
    return { pid, caps: field('CapEff'), noNewPrivs: field('NoNewPrivs'), isRoot: field('Uid') === '0' }
  }
  const before = { hub: await status('errand-hub'), runner: await status('errand-runner') }
  for (const { pid: _, ...found } of Object.values(before))
    assert.deepEqual(found, { caps: '0000000000000000', noNewPrivs: '1', isRoot: false })

  // The step ends when told to, so that it runs while both are restarted.
  const go = '/var/lib/errand-runner/go'
  const cmd = `id -un; echo $$ >/tmp/begun; while [ ! -e ${go} ]; do sleep 0.1; done; echo went on`
  const { run_id } = JSON.parse(
    await errand(['run', '--hub', '--detach', '--json', '-'], workflowText([{ name: 'wait', cmd }])),
  )
  await eventually('the step', () => inside(machine, ['cat', '/tmp/begun']).then(Boolean, () => false))
  await systemctl('restart', 'errand-runner', 'errand-hub')
  const after = { hub: await status('errand-hub'), runner: await status('errand-runner') }
  assert.notEqual(after.hub.pid, before.hub.pid)
  assert.notEqual(after.runner.pid, before.runner.pid)
  await inside(machine, ['touch', go])
  const run = await eventually('the end of the run', async () => {
    const shown = await errand(['runs', 'show', run_id, '--json']).then(JSON.parse, () => undefined)
    return !['queued', 'running', undefined].includes(shown?.status) && shown
  })
  assert.equal(run.status, 'success')
  const printed = await errand(['runs', 'logs', run_id])
  assert.equal(printed.match(/\| errand-runner\n.*\| went on\n/g)?.length, 1, printed)
})
