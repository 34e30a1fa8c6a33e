import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { baseImage, dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { type AttemptFixture, place } from '../../../test/support/runner/attempt-fixture.ts'
import { sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import seccompProfile from '../docker/seccomp-profile.json' with { type: 'json' }
import { explained, findBubblewrap, type MachineFacts, type ProbeResult } from './probe.ts'

const PLAIN: MachineFacts = { isRoot: false, isFiltered: false, maxUserNamespaces: 1000 }

/** Writes a fake bubblewrap, which prints this version and runs this script for a box. */
function standIn(here: AttemptFixture, version: string, box: string): string {
  const bin = join(here.path, 'bin')
  mkdirSync(bin, { recursive: true })
  const file = join(bin, 'bwrap')
  writeFileSync(file, `#!/bin/sh\n[ "$1" = --version ] && { echo "${version}"; exit; }\n${box}\n`)
  chmodSync(file, 0o755)
  return bin
}

const sentence = (found: ProbeResult): string =>
  found.type === 'usable' ? 'usable' : `${found.why} ${found.hint}`

async function messageOf(version: string, box: string, facts: Partial<MachineFacts> = {}): Promise<string> {
  using here = place()
  const env = { PATH: `${standIn(here, version, box)}:/usr/bin:/bin` }
  return sentence(await findBubblewrap({ env, facts: { ...PLAIN, ...facts } }))
}

const failing = (text: string) => `echo "bwrap: ${text}" >&2; exit 1`
const DENIED =
  'No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.'

test('a missing, old or unsupported bubblewrap is reported with what to do', async () => {
  const path = { PATH: '/nonexistent' }
  assert.match(
    sentence(await findBubblewrap({ env: path })),
    /^bubblewrap is not installed: .* apt-get install bubblewrap \(Debian, Ubuntu\), dnf .* apk add bubblewrap \(Alpine\)\.$/,
  )
  assert.match(
    sentence(await findBubblewrap({ env: path, platform: 'darwin' })),
    /^Sandboxes are not available on macOS/,
  )
  assert.match(
    sentence(await findBubblewrap({ env: path, platform: 'win32' })),
    /^Sandboxes are not available on win32/,
  )
  assert.match(
    sentence(await findBubblewrap({ env: path, arch: 'riscv64' })),
    /^Sandboxes are not available on this type of processor \(riscv64\)/,
  )
  assert.match(
    await messageOf('bubblewrap 0.3.3', 'exit 0'),
    /^bubblewrap 0\.3\.3 is too old: a sandbox needs 0\.4 or newer\./,
  )
  assert.match(await messageOf('', failing('cannot')), /does not report its version/)
})

test('each way a machine prevents namespaces has its own sentence', async () => {
  const old = 'bubblewrap 0.8.0'
  const cases: [said: string, facts: Partial<MachineFacts>, sentence: RegExp][] = [
    [
      'Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)',
      { maxUserNamespaces: 0 },
      /^User namespaces are off on this machine .* sysctl -w user\.max_user_namespaces=15000, and/,
    ],
    [
      DENIED,
      { unprivilegedClone: 0 },
      /^Users other than root .* sysctl -w kernel\.unprivileged_userns_clone=1/,
    ],
    [
      'setting up uid map: Permission denied',
      { apparmorRestricts: 1 },
      /^AppArmor does not let a user's program .*bwrap-userns-restrict/,
    ],
    [
      'loopback: Failed RTM_NEWADDR: Operation not permitted',
      { apparmorRestricts: 1 },
      /^AppArmor does not let a user's program .* instead of disabling this restriction/,
    ],
    [
      DENIED,
      { isRoot: true, isFiltered: true, container: 'container' },
      /^The container around this program does not let it create namespaces \(its default seccomp profile\)\. .* its own container/,
    ],
    [DENIED, { isFiltered: true, container: 'pod' }, /^The pod around this program .* its own pod/],
    [
      "Can't mount proc on /newroot/proc: Operation not permitted",
      { container: 'container' },
      /^A sandbox cannot have its own \/proc here, because the container .* systempaths=unconfined/,
    ],
    [DENIED, {}, /^The kernel does not let this user create namespaces\. .*RestrictNamespaces=/],
    ['something else', {}, /^No sandbox could be created\. bubblewrap says: something else\. Try it by hand/],
  ]
  for (const [output, facts, expected] of cases)
    assert.match(await messageOf(old, failing(output), facts), expected, output)
  assert.match(
    await messageOf(old, 'exit 0'),
    /^No sandbox could be created\. bubblewrap says: a sandbox shows "" instead of/,
  )
})

test('a plain user does not use a bubblewrap that is setuid root', async () => {
  using here = place()
  const bin = standIn(here, 'bubblewrap 0.8.0', 'exit 0')
  chmodSync(join(bin, 'bwrap'), 0o4755)
  const found = await findBubblewrap({ env: { PATH: bin }, facts: PLAIN })
  assert.match(sentence(found), /bwrap is setuid root, .*chmod u-s/)
})

test("the machine's settings explain nothing without a message from bubblewrap", () => {
  const found = explained('hang', { ...PLAIN, apparmorRestricts: 1, unprivilegedClone: 0 })
  assert.match(sentence(found), /^No sandbox could be created/)
})

const skip = sandboxMissing()

test('a working sandbox is tested once, and again after a change', {
  skip,
}, async () => {
  using here = place()
  const real = spawnSync('/bin/sh', ['-c', 'command -v bwrap'], { encoding: 'utf8' }).stdout.trim()
  const counted = `echo >>${here.path}/tries; exec ${real} "$@"`
  const bin = standIn(here, 'bubblewrap 0.8.0', counted)
  const find = (facts?: MachineFacts) => findBubblewrap({ env: { PATH: bin }, stateDir: here.path, facts })
  const tries = () => readFileSync(join(here.path, 'tries'), 'utf8').length
  const first = await find()
  assert.equal(first.type, 'usable', sentence(first))
  assert.deepEqual(await find(), first)
  assert.equal(tries(), 1)
  await find(PLAIN)
  assert.equal(tries(), 2)
  writeFileSync(join(here.path, 'probe.json'), '{ torn')
  await find()
  assert.equal(tries(), 3)
})

test('a bubblewrap with fewer options is used without them', { skip }, async () => {
  using here = place()
  const bin = standIn(here, 'bubblewrap 0.4.1', 'exec /usr/bin/bwrap "$@"')
  const found = await findBubblewrap({ env: { PATH: bin } })
  assert.ok(found.type === 'usable', sentence(found))
  assert.deepEqual([found.version, found.sizesTemp, found.disablesUserNamespaces], ['0.4.1', false, false])
})

test('when user namespaces are really off, the message says so', { skip: skip || notRoot() }, () => {
  const script = `
    import { findBubblewrap } from ${JSON.stringify(new URL('./probe.ts', import.meta.url).href)}
    console.log(JSON.stringify(await findBubblewrap({ env: process.env })))`
  const outer = ['--user', '--map-root-user', '--mount-proc', '--pid', '--fork', '/bin/sh', '-c']
  const words = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" --input-type=module -e "$1"'
  const ran = spawnSync('unshare', [...outer, words, process.execPath, script], { encoding: 'utf8' })
  const found = JSON.parse(ran.stdout || `"${ran.stderr}"`)
  assert.match(
    found.why,
    /^User namespaces are off on this machine \(user\.max_user_namespaces is 0\)\. bubblewrap says/,
  )
})

const noDocker = skip || (await dockerHere())

test('in a Docker container the message says what prevents a sandbox, and what allows one', {
  skip: noDocker,
}, async (t) => {
  using here = place()
  const { labels } = dockerFor(t)
  const image = await baseImage('node:24-slim')
  const root = join(import.meta.dirname, '../../..')
  const script = join(here.path, 'probe.ts')
  const probe = new URL('./probe.ts', import.meta.url).href
  writeFileSync(
    script,
    `import { findBubblewrap } from '${probe}'\nconsole.log(JSON.stringify(await findBubblewrap({ env: process.env })))`,
  )
  chmodSync(here.path, 0o755)
  chmodSync(script, 0o644)
  const [label] = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  const find = async (...options: string[]) => {
    const mounts = ['/usr:/usr:ro', `${root}:${root}:ro`, `${here.path}:${here.path}:ro`]
    const words = [...options, ...mounts.flatMap((each) => ['--volume', each])]
    const args = ['run', '--rm', '--label', label!, ...words, image, process.execPath, script]
    return sentence(JSON.parse((await promisify(execFile)('docker', args)).stdout))
  }
  const open = ['--security-opt', 'seccomp=unconfined']
  assert.match(
    await find(),
    /^The container around this program does not let it create namespaces \(its default seccomp/,
  )
  assert.match(
    await find('--user', '1000'),
    /^The container around this program does not let it create namespaces/,
  )
  assert.match(await find(...open), /^A sandbox cannot have its own \/proc here/)
  assert.equal(await find(...open, '--security-opt', 'systempaths=unconfined'), 'usable')
  // The settings of the compose file of a runner; then without each of the calls that its profile adds.
  const file = parse(readFileSync(join(root, 'deploy/compose.runner.yaml'), 'utf8'))
  const { security_opt, cap_drop } = file.services.runner as Record<string, string[]>
  const asFile = (profile: string) => [
    ...security_opt!.flatMap((each) => ['--security-opt', each.replace(/^seccomp:.*/, `seccomp=${profile}`)]),
    ...['--user', '10001', '--cap-drop', cap_drop![0]!],
  ]
  const profile = join(root, 'deploy/seccomp-sandbox.json')
  assert.equal(await find(...asFile(profile)), 'usable')
  const { syscalls, ...rest } = JSON.parse(readFileSync(profile, 'utf8'))
  const { '//': _, ...whole } = seccompProfile
  assert.deepEqual({ ...rest, '//': _, syscalls: syscalls.slice(0, -1) }, { ...whole, '//': _ })
  const { names } = syscalls.at(-1) as { names: string[] }
  for (const name of names) {
    const less = {
      ...rest,
      syscalls: [
        ...whole.syscalls,
        { names: names.filter((each) => each !== name), action: 'SCMP_ACT_ALLOW' },
      ],
    }
    writeFileSync(join(here.path, 'less.json'), JSON.stringify(less))
    assert.notEqual(await find(...asFile(join(here.path, 'less.json'))), 'usable', name)
  }
})

function notRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'it takes root'
}
