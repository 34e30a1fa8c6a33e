import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { findProgram } from '../../src/agents/install/find-program.ts'
import { agentsFolder, nativeIn, sharedCache, thisMachine } from '../../src/agents/install/native-binary.ts'
import { agentInstalls } from '../../src/agents/registry.ts'

const ownVersion = process.version.slice(1)
const codex = agentInstalls.codex!
const codexNative = codex.natives(thisMachine())[0]!

describe('finding an agent', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'errand-find-'))
  after(() => rmSync(scratch, { recursive: true, force: true }))

  function put(path: string, text: string): string {
    const file = join(scratch, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text, { mode: 0o755 })
    return file
  }

  /** Puts a native program that knows `--version` in place: Node's own. */
  function putNative(path: string): string {
    const file = join(scratch, path)
    mkdirSync(dirname(file), { recursive: true })
    symlinkSync(process.execPath, file)
    return file
  }

  const find = (folder: string, path: string) =>
    findProgram({
      name: 'codex',
      install: codex,
      folder: join(scratch, folder),
      env: { PATH: join(scratch, path) },
    })

  it('prefers the installed program to that on PATH', async () => {
    const path = putNative(`a/codex/node_modules/${codexNative}`)
    put('a/codex/node_modules/@openai/codex/package.json', '{"version":"0.169.0"}')
    putNative('a/bin/codex')
    assert.deepEqual(await find('a', 'a/bin'), { type: 'found', program: { path, version: '0.169.0' } })
    assert.equal(nativeIn(join(scratch, 'a/codex'), codex), path)
    assert.equal(nativeIn(join(scratch, 'a/opencode'), agentInstalls.opencode!), undefined)
  })

  it('takes a native program on PATH, with the version that it reports', async () => {
    putNative('b/bin/codex')
    assert.deepEqual(await find('b', 'b/bin'), {
      type: 'found',
      program: { path: process.execPath, version: ownVersion },
    })
  })

  it('finds the native program behind a script on PATH', async () => {
    const native = putNative(`c/lib/node_modules/@openai/codex/node_modules/${codexNative}`)
    const script = put('c/lib/node_modules/@openai/codex/bin/codex.js', '#!/usr/bin/env node\n')
    mkdirSync(join(scratch, 'c/bin'))
    symlinkSync(script, join(scratch, 'c/bin/codex'))
    assert.deepEqual(await find('c', 'c/bin'), {
      type: 'found',
      program: { path: native, version: ownVersion },
    })
  })

  it('says what is broken', async () => {
    const script = put('d/bin/codex', '#!/bin/sh\necho 1.2.3\n')
    assert.deepEqual(await find('d', 'd/bin'), {
      type: 'broken',
      why: `${script} is a script, and the native program that it starts was not found next to it; run: errand agents install --codex`,
    })
    put('e/bin/codex', 'no program')
    const located = await find('e', 'e/bin')
    assert.ok(located.type === 'broken')
    assert.match(located.why, /--version" (did not start|exited with code)/)
    put('f/codex/node_modules/@openai/codex/package.json', '{"version":"0.169.0"}')
    const other = await find('f', 'f/bin')
    assert.ok(other.type === 'broken' && /has no @openai\/codex program for/.test(other.why))
  })

  it('says where it looked for a missing program', async () => {
    assert.deepEqual(await find('g', 'g/bin'), {
      type: 'missing',
      why: `@openai/codex is not in ${join(scratch, 'g')}, nor is "codex" on PATH`,
    })
  })

  it('knows the programs for other machines, and for old processors', () => {
    const mac = { platform: 'darwin', arch: 'arm64' }
    const native = (name: string, machine: typeof mac & { old?: boolean }) =>
      agentInstalls[name]!.natives(machine)
    assert.deepEqual(native('claude_code', mac), ['@anthropic-ai/claude-code-darwin-arm64/claude'])
    assert.deepEqual(native('codex', mac), [
      '@openai/codex-darwin-arm64/vendor/aarch64-apple-darwin/bin/codex',
    ])
    assert.deepEqual(native('copilot', mac), ['@github/copilot-darwin-arm64/copilot'])
    assert.deepEqual(native('opencode', { platform: 'linux', arch: 'x64', old: true }), [
      'opencode-linux-x64-baseline/bin/opencode',
      'opencode-linux-x64-baseline-musl/bin/opencode',
    ])
  })

  it('shares only the cache beside an installed program', () => {
    const program = put('h/copilot/node_modules/@github/copilot-linux-x64/copilot', '')
    assert.equal(sharedCache(program), undefined)
    mkdirSync(join(scratch, 'h/copilot/cache'))
    assert.equal(sharedCache(program), join(scratch, 'h/copilot/cache'))
    assert.equal(sharedCache('/usr/local/bin/copilot'), undefined)
  })

  it('uses a folder below the home folder by default', () => {
    assert.equal(agentsFolder({ HOME: '/home/you' }), '/home/you/.errand/agents')
    assert.equal(agentsFolder({ HOME: '/home/you', ERRAND_AGENTS_DIR: '/srv/agents' }), '/srv/agents')
  })
})
