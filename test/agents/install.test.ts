import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { AgentInstall } from '../../src/agents/agent.ts'
import { type InstallOptions, installAgents } from '../../src/agents/install/install-agents.ts'
import { startNpmRegistry, type TestPackage } from '../support/npm-registry.ts'

const script = (text: string) => `#!/bin/sh\n${text}\n`

/** Returns packages like the real ones: an empty one, and an optional one with the program. */
const packagesOf = (
  name: string,
  version: string,
  program = script(`echo "${name} ${version}"`),
): TestPackage[] => [
  { name, version, optionalDependencies: { [`${name}-native`]: version }, files: {} },
  { name: `${name}-native`, version, files: { 'bin/program': program } },
]

const pinOf = (name: string, version: string, rest: Partial<AgentInstall> = {}): AgentInstall => ({
  package: name,
  version,
  program: 'no-such-program',
  natives: () => [`${name}-native/bin/program`],
  megabytes: 1,
  ...rest,
})

describe('installing agents', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'errand-install-'))
  let registry: Awaited<ReturnType<typeof startNpmRegistry>>
  let env: NodeJS.ProcessEnv
  let count = 0

  before(async () => {
    registry = await startNpmRegistry([
      ...packagesOf('@test/good', '1.0.0'),
      ...packagesOf('@test/good', '1.1.0'),
      ...packagesOf('@test/crashes', '1.0.0', script('echo cannot start >&2; exit 3')),
      ...packagesOf('@test/lies', '1.0.0', script('echo 9.9.9')),
      ...packagesOf(
        '@test/unpacks',
        '1.0.0',
        script('mkdir "$UNPACK_TO" && echo done > "$UNPACK_TO/done" && echo 1.0.0'),
      ),
      { name: '@test/empty', version: '1.0.0', files: {} },
    ])
    env = {
      PATH: process.env.PATH,
      HOME: join(scratch, 'home'),
      npm_config_registry: registry.url,
      npm_config_cache: join(scratch, 'npm-cache'),
    }
  })
  after(async () => {
    await registry.close()
    rmSync(scratch, { recursive: true, force: true })
  })

  /** Returns a separate folder and the log lines. */
  function site(installs: Record<string, AgentInstall>, change: Partial<InstallOptions> = {}) {
    const folder = join(scratch, `agents-${count++}`)
    const lines: string[] = []
    const log = (line: string) => lines.push(line)
    const install = (more: Partial<InstallOptions> = {}) =>
      installAgents({ names: Object.keys(installs), folder, log, env, installs, ...change, ...more })
    const names = () =>
      readdirSync(folder)
        .filter((name) => name !== '.install-lock')
        .sort()
    return { folder, lines, install, names }
  }

  it('installs the pinned version, not the latest, and finds it there the next time', async () => {
    const { folder, install, names } = site({ good: pinOf('@test/good', '1.0.0') })
    const path = join(folder, 'good/node_modules/@test/good-native/bin/program')
    assert.deepEqual(await install(), [{ name: 'good', version: '1.0.0', path, fresh: true }])
    assert.match(readFileSync(path, 'utf8'), /1\.0\.0/)
    assert.deepEqual(await install(), [{ name: 'good', version: '1.0.0', path, fresh: false }])
    assert.deepEqual(names(), ['good'])
  })

  it('replaces another version, and removes what a killed install left', async () => {
    const { folder, install, names } = site({ good: pinOf('@test/good', '1.0.0') })
    await install()
    mkdirSync(join(folder, '.staging/good/node_modules'), { recursive: true })
    const [installed] = await install({ installs: { good: pinOf('@test/good', '1.1.0') } })
    assert.match(readFileSync(installed!.path, 'utf8'), /1\.1\.0/)
    assert.deepEqual(names(), ['good'])
  })

  it('keeps the existing version if the new one does not start', async () => {
    const { install, names } = site({ good: pinOf('@test/good', '1.0.0') })
    await install()
    const installs = (pin: AgentInstall) => ({ installs: { good: pin } })
    await assert.rejects(install(installs(pinOf('@test/crashes', '1.0.0'))), {
      code: 'unavailable',
      message: /@test\/crashes@1\.0\.0 was fetched, but .* exited with code 3: cannot start/,
      hint: /otherwise use another agent/,
    })
    await assert.rejects(install(installs(pinOf('@test/lies', '1.0.0'))), {
      message: /reports version 9\.9\.9/,
    })
    await assert.rejects(install(installs(pinOf('@test/empty', '1.0.0'))), {
      message: /has no program for/,
    })
    assert.deepEqual(names(), ['good'])
    assert.equal((await install())[0]?.fresh, false)
  })

  it('fills the cache of a program that unpacks itself', async () => {
    const { folder, install } = site({
      unpacks: pinOf('@test/unpacks', '1.0.0', { cacheVariable: 'UNPACK_TO' }),
    })
    await install()
    assert.ok(existsSync(join(folder, 'unpacks/cache/done')))
  })

  it('a second install at the same time waits, and then finds the first one', async () => {
    const { lines, install } = site({ good: pinOf('@test/good', '1.0.0') })
    const both = await Promise.all([install(), install()])
    assert.deepEqual(both.map(([agent]) => agent?.fresh).sort(), [false, true])
    assert.equal(lines.filter((line) => line.startsWith('Waiting for another install')).length, 1)
  })

  it('lists the agents that exist when asked for an unknown one', async () => {
    const { install } = site({ good: pinOf('@test/good', '1.0.0') })
    await assert.rejects(install({ names: ['god'] }), {
      code: 'invalid_argument',
      message: '"god" is not an agent that can be installed',
      hint: 'Agents to install: good.',
    })
  })

  it('reports missing npm, registry, version and disk space', async () => {
    const { install, names } = site({ good: pinOf('@test/good', '1.0.0') })
    const noNpm = { ...env, PATH: join(scratch, 'nowhere') }
    await assert.rejects(install({ env: noNpm }), { code: 'unavailable', message: /npm is not on PATH/ })
    // Nobody listens on port 9 of loopback.
    const noRegistry = {
      ...env,
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_cache: join(scratch, 'other-cache'),
    }
    await assert.rejects(install({ env: noRegistry }), {
      code: 'unavailable',
      message:
        /the npm registry is not reachable \(ECONNREFUSED\): [^\n]*connect ECONNREFUSED 127\.0\.0\.1:9$/,
    })
    await assert.rejects(install({ installs: { good: pinOf('@test/good', '7.0.0') } }), {
      code: 'not_found',
      message: /@test\/good@7\.0\.0 could not be installed: the npm registry does not have it \(ETARGET\)/,
    })
    await assert.rejects(install({ installs: { good: pinOf('@test/good', '1.0.0', { megabytes: 1e12 }) } }), {
      code: 'disk_full',
      hint: /errand agents install --good/,
    })
    assert.deepEqual(names(), [])
  })

  it('gives npm no keys', async () => {
    const { install } = site({ good: pinOf('@test/good', '1.0.0') })
    const folder = join(scratch, 'fake-npm')
    mkdirSync(folder)
    writeFileSync(join(folder, 'npm'), script(`env > '${folder}/seen'; exit 1`), { mode: 0o755 })
    const PATH = `${folder}:${env.PATH}`
    const keys = { ANTHROPIC_API_KEY: 'k-1', GIT_TOKEN: 'k-2', npm_config_cafile: '/nowhere.pem' }
    await assert.rejects(install({ env: { ...env, ...keys, PATH } }), {
      message: /npm failed/,
      hint: /the problem that npm reports/,
    })
    const seen = readFileSync(join(folder, 'seen'), 'utf8')
    assert.doesNotMatch(seen, /k-1|k-2/)
    assert.match(seen, /^npm_config_cafile=\/nowhere\.pem$/m)
  })

  it('ends npm when it is stopped', async () => {
    const { install, names } = site({ good: pinOf('@test/good', '1.0.0') })
    const folder = join(scratch, 'slow-npm')
    mkdirSync(folder)
    const started = join(folder, 'started')
    writeFileSync(join(folder, 'npm'), script(`touch '${started}'; exec sleep 600`), { mode: 0o755 })
    const stop = new AbortController()
    const installing = install({ env: { ...env, PATH: `${folder}:${env.PATH}` }, signal: stop.signal })
    while (!existsSync(started)) await new Promise((resolve) => setTimeout(resolve, 10))
    stop.abort()
    await assert.rejects(installing, { name: 'AbortError' })
    assert.deepEqual(names(), [])
  })
})
