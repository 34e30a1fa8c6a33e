import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const units = join(import.meta.dirname, '../../deploy/systemd')
const program = join(import.meta.dirname, '../../bin/errand')
const skip = await execute('systemd-analyze', ['--version']).then(
  () => false,
  () => "there is no systemd-analyze (Debian's package systemd)",
)

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-units-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Writes the unit with the program of this checkout, because the one that it names is not installed. */
function unitIn(folder: string, name: string): string {
  const file = join(folder, name)
  const text = readFileSync(join(units, name), 'utf8')
  writeFileSync(file, text.replace('/usr/local/bin/errand', program))
  return file
}

/** The exposure as `systemd-analyze security` rates it, from 0 (nothing) to 100. */
for (const { name, mostExposure } of [
  { name: 'errand-hub.service', mostExposure: 20 },
  { name: 'errand-runner.service', mostExposure: 50 },
]) {
  test(`systemd finds no fault in ${name}, and rates it as hardened`, { skip }, async (t) => {
    const unit = unitIn(temporaryFolder(t), name)
    const { stdout, stderr } = await execute('systemd-analyze', ['verify', unit])
    assert.equal(stdout + stderr, '')
    await execute('systemd-analyze', ['security', '--offline=yes', `--threshold=${mostExposure}`, unit])
  })
}

test('systemd finds no fault in the runner with cgroups', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const unit = unitIn(folder, 'errand-runner.service')
  mkdirSync(`${unit}.d`)
  writeFileSync(
    join(`${unit}.d`, 'cgroups.conf'),
    readFileSync(join(units, 'errand-runner-cgroups.conf'), 'utf8'),
  )
  const { stdout, stderr } = await execute('systemd-analyze', ['verify', unit])
  assert.equal(stdout + stderr, '')
})

test('the users of the units are created', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'etc'))
  await execute('systemd-sysusers', [`--root=${folder}`, join(units, 'errand.sysusers.conf')])
  const users = readFileSync(join(folder, 'etc/passwd'), 'utf8')
  for (const name of ['errand-hub', 'errand-runner']) {
    const user = /^User=(.*)$/m.exec(readFileSync(join(units, `${name}.service`), 'utf8'))?.[1]
    assert.match(users, new RegExp(`^${user}:x:.*:/var/lib/${user}:`, 'm'))
  }
})
