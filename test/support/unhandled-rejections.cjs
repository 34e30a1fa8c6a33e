'use strict'

// Loaded before each test file, and before each Node that a test file starts, directly or by `errand`. A process that
// dies of an unhandled rejection leaves a note, and the test command then fails the file. This is CommonJS, so that
// any Node can load it. Other programs that the process starts do not see it, because a step may run where none of our
// files exists.

const { ChildProcess } = require('node:child_process')
const { writeFileSync } = require('node:fs')
const { basename, join } = require('node:path')
const { isMainThread } = require('node:worker_threads')

const OPTIONS = 'NODE_OPTIONS='
const PROGRAM = /(^|\/)(bin\/errand|dist\/cli\.cjs|src\/cli\/main\.ts)$/

/** Called by the module `preload`, which each test file has of its own. Notes are written to `folder`. */
module.exports = function noteUnhandledRejections(preload, folder) {
  if (!isMainThread) return
  const ours = `--require ${JSON.stringify(preload)}`
  const others = (process.env.NODE_OPTIONS ?? '').replace(ours, '').trim()
  if (others === '') delete process.env.NODE_OPTIONS
  else process.env.NODE_OPTIONS = others

  process.on('uncaughtExceptionMonitor', (error, origin) => {
    if (origin !== 'unhandledRejection') return
    const note = { pid: process.pid, argv: process.argv, error: error?.stack ?? String(error) }
    try {
      writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify(note))
    } catch {
      // The test and its folder are gone.
    }
  })

  const { spawn } = ChildProcess.prototype
  ChildProcess.prototype.spawn = function withNotes(options) {
    const { file, args = [], envPairs } = options
    const isNode = file === process.execPath || args.some((word) => PROGRAM.test(word))
    // A test file that a test of the test command starts has its own notes.
    const hasOwn = args.some((word) => word.endsWith(`/${basename(preload)}`))
    if (!isNode || hasOwn || envPairs === undefined) return spawn.call(this, options)
    const given = envPairs.find((pair) => pair.startsWith(OPTIONS))
    const pairs = envPairs.filter((pair) => pair !== given)
    const value = given === undefined ? ours : `${given.slice(OPTIONS.length)} ${ours}`
    return spawn.call(this, { ...options, envPairs: [...pairs, `${OPTIONS}${value}`] })
  }
}
