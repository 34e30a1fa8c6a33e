import { CmdRunArgs } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Longest command passed as an argument, which Linux limits to 128 KiB; a longer command goes through a file. */
export const MAX_INLINE_SCRIPT_BYTES = 100_000

/** Runs `args.cmd` with /bin/sh. */
export const cmdRun: Action = {
  kind: 'process',
  prepare(spec) {
    const { cmd, cwd, export_vars } = parseArguments(CmdRunArgs, spec)
    const common = { env: spec.env, export_vars, cwd }
    return Buffer.byteLength(cmd) > MAX_INLINE_SCRIPT_BYTES
      ? { ...common, argv: ['/bin/sh'], script: cmd }
      : { ...common, argv: ['/bin/sh', '-c', cmd] }
  },
}
