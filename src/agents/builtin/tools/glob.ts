import { type PathGlob, globPattern as pathPattern } from '../../../platform/path-glob.ts'
import { ToolError } from './tool.ts'

const MOST_CHARS = 500

/** A glob of the model's, as `pathPattern` reads it; one without `/` fits a name in any folder. */
export function globPattern(glob: string): PathGlob {
  if (glob.length > MOST_CHARS) throw new ToolError(`The glob is longer than ${MOST_CHARS} characters.`)
  try {
    return pathPattern(glob.includes('/') ? glob.replace(/^\.?\/+/, '') : `**/${glob}`)
  } catch {
    throw new ToolError(`The glob ${glob} cannot be understood.`)
  }
}
