import { chmod, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { FileWriteArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import { LeadsOut, writeBeneath } from '../platform/beneath.ts'
import { makeFolder } from '../platform/files.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Writes `args.content` to `args.path` and creates missing folders. */
export const fileWrite: Action = {
  kind: 'inline',
  async run(spec, { cwd, apart, signal, shown }) {
    const { path, content, mode } = parseArguments(FileWriteArgs, spec)
    const target = resolve(cwd, path)
    try {
      if (apart) {
        await makeFolder(cwd, 0o700)
        await writeBeneath(cwd, target, content, { mode: Number.parseInt(mode, 8), signal })
        return {}
      }
      await makeFolder(dirname(target))
      await writeFile(target, content, { mode: Number.parseInt(mode, 8), signal })
      // The umask restricts a mode given on creation, and an existing file ignores it.
      await chmod(target, Number.parseInt(mode, 8))
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof LeadsOut)
        throw new ErrandError(
          'invalid_argument',
          `A step in a sandbox may not write to ${resolve(cwd, shown(path))}: ${shown(cause.message)}.`,
          { hint: 'Write inside the workspace of the run, and not through a link.', cause },
        )
      const { code, message } = cause as NodeJS.ErrnoException
      throw new ErrandError(
        code === 'ENOSPC' ? 'disk_full' : 'internal',
        // The system's message names a part of the path. If that part ends inside a secret, masking would miss it.
        `${resolve(cwd, shown(path))} could not be written: ${message.split(', ', 1)[0]}.`,
        { cause },
      )
    }
    return {}
  },
}
