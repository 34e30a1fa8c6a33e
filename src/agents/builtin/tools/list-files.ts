import * as z from 'zod'
import type { PathGlob } from '../../../platform/path-glob.ts'
import { TimeGuard } from '../../../platform/time-guard.ts'
import { filesBelow } from './file-list.ts'
import { globPattern } from './glob.ts'
import { defineTool, OUTPUT_BYTES } from './tool.ts'

const MOST_SHOWN = 1000

const Args = z.object({
  path: z.string().min(1).default('.').describe('The folder'),
  glob: z.string().min(1).optional().describe('Only these, e.g. *.ts or src/**/*.{js,css}'),
})

export const listFiles = defineTool({
  name: 'list_files',
  kind: 'search',
  description: 'Lists the files below a folder, without those that git ignores.',
  args: Args,
  title: ({ path, glob }) => `List ${glob ?? 'files'} in ${path}`,
  paths: ({ path }) => [path],
  async run({ glob }, work) {
    const all = await filesBelow(work.paths[0]!, work)
    const files = glob === undefined ? all : fitting(all, globPattern(glob))
    if (files.length === 0)
      return { output: all.length === 0 ? '(no files)' : `(none of ${all.length} files fit)` }
    const shown: string[] = []
    let bytes = 0
    for (const file of files.slice(0, MOST_SHOWN)) {
      bytes += Buffer.byteLength(file) + 1
      if (bytes > OUTPUT_BYTES) break
      shown.push(file)
    }
    const more = files.length - shown.length
    return { output: shown.join('\n') + (more === 0 ? '' : `\n… (${more} more; name a folder or a glob)`) }
  },
})

function fitting(files: readonly string[], pattern: PathGlob): string[] {
  return new TimeGuard().run(() => files.filter((file) => pattern.test(file)))
}
