import { ShellRunArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'
import { MAX_INLINE_SCRIPT_BYTES } from './cmd-run.ts'

/** Runs `args.script` with the interpreter that its first line names, or otherwise with `args.shell`. */
export const shellRun: Action = {
  kind: 'process',
  prepare(spec) {
    const { script, shell, cwd, export_vars } = parseArguments(ShellRunArgs, spec)
    const common = { env: spec.env, export_vars, cwd }
    const program = shell === 'sh' ? '/bin/sh' : 'bash'
    if (script.startsWith('#!')) return { ...common, argv: interpreterOf(script), script }
    return Buffer.byteLength(script) > MAX_INLINE_SCRIPT_BYTES
      ? { ...common, argv: [program], script }
      : { ...common, argv: [program, '-c', script] }
  },
}

/** Reads a `#!` line as the kernel does: a program, and the rest of the line as one argument. */
function interpreterOf(script: string): string[] {
  const line = script.slice(2).split('\n', 1)[0]!.trim()
  const [, program, argument] = /^(\S+)(?:\s+(.*))?$/.exec(line) ?? []
  if (program === undefined)
    throw new ErrandError('invalid_argument', 'The first line of the script, "#!", names no interpreter.', {
      hint: 'Add a program after "#!", such as #!/usr/bin/env python3, or remove the line.',
    })
  return argument ? [program, argument] : [program]
}
