'use strict'

// Loaded before each test file, and before each Node that this one starts, directly or by `errand`: a process that dies
// of a rejection which nobody has handled leaves a note, for which the test command makes the file fail. In CommonJS,
// so that any Node can load it, and unseen by what the process starts otherwise: a step may stand where no file of ours is.

const { ChildProcess } = require('node:child_process')
const { writeFileSync } = require('node:fs')
const { basename, join } = require('node:path')
const { isMainThread } = require('node:worker_threads')

const OPTIONS = 'NODE_OPTIONS='
const PROGRAM = /(^|\/)(bin\/errand|dist\/cli\.cjs|src\/cli\/main\.ts)$/

/** Called by the module `preload`, which a test file has of its own; `folder` is where its notes go. */
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
    // A test file that a test of the test command starts has notes of its own.
    const hasOwn = args.some((word) => word.endsWith(`/${basename(preload)}`))
    if (!isNode || hasOwn || envPairs === undefined) return spawn.call(this, options)
    const given = envPairs.find((pair) => pair.startsWith(OPTIONS))
    const pairs = envPairs.filter((pair) => pair !== given)
    const value = given === undefined ? ours : `${given.slice(OPTIONS.length)} ${ours}`
    return spawn.call(this, { ...options, envPairs: [...pairs, `${OPTIONS}${value}`] })
  }
}
