import { ShellRunArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'
import { MAX_INLINE_SCRIPT_BYTES } from './cmd-run.ts'

/** Runs `args.script` by the interpreter its first line names, else by `args.shell`. */
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

/** As the kernel reads it: a program, and what follows it as one argument. */
function interpreterOf(script: string): string[] {
  const line = script.slice(2).split('\n', 1)[0]!.trim()
  const [, program, argument] = /^(\S+)(?:\s+(.*))?$/.exec(line) ?? []
  if (program === undefined)
    throw new ErrandError('invalid_argument', 'The script\'s first line "#!" names no interpreter.', {
      hint: 'Write a program behind it, such as #!/usr/bin/env python3, or leave the line out.',
    })
  return argument ? [program, argument] : [program]
}
