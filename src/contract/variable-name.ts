import * as z from './mini-zod.ts'

/** The rule of a variable's name, in words. */
export const VAR_NAME_RULE =
  'a variable name is letters, digits and "_", 128 at most, not starting with a digit, and not "__proto__"'

/** A variable's name, as a process's environment takes it. JavaScript keeps `__proto__` for itself: JSON loses it. */
export const VarName = z
  .string()
  .check(z.regex(/^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/, VAR_NAME_RULE))
