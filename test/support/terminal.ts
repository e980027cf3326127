import { CLI, type CliOptions, type CliProcess, startProcess } from './cli.js'

const ESCAPE = '\u001b'

/** Matches what follows ESC: `[`, parameters and the command. */
const SEQUENCE = /^\[([?\d;]*)([A-Za-z])/

/**
 * Computes what a terminal of that width shows at the end: its rows, without trailing blanks. It supports few commands,
 * and throws on any other so that none is missed.
 */
export function toScreen(output: string, columns: number): string[] {
  const rows: string[][] = []
  let row = 0
  let column = 0
  const lineAt = (at: number) => {
    while (rows.length <= at) rows.push([])
    return rows[at] ?? []
  }
  const [plain = '', ...commands] = output.split(ESCAPE)

  function print(text: string): void {
    for (const character of text) {
      if (character === '\r') column = 0
      else if (character === '\n') row += 1
      else {
        if (column >= columns) {
          row += 1
          column = 0
        }
        lineAt(row)[column] = character
        column += 1
      }
    }
  }

  print(plain)
  for (const text of commands) {
    const [all = '', parameters, command] = SEQUENCE.exec(text) ?? []
    if (command === 'K' && parameters === '') lineAt(row).splice(column)
    else if (command !== 'm') throw new Error(`the terminal does not know ESC ${JSON.stringify(text.slice(0, 10))}`)
    print(text.slice(all.length))
  }
  return rows.map((line) => line.join('').trimEnd())
}

/** Starts `spidra-sync` on a terminal of 80 columns. What it shows is its standard output. */
export function startOnTerminal(args: readonly string[], options: CliOptions): Promise<CliProcess> {
  // `script` of util-linux or BSD provides a terminal, which has no size until it is set.
  const command = `stty cols 80 rows 24 && exec "${process.execPath}" "${CLI}" ${args.join(' ')}`
  const isLinux = process.platform === 'linux'
  const scriptArgs = isLinux ? ['-qefc', command, '/dev/null'] : ['-q', '/dev/null', 'sh', '-c', command]
  return startProcess('script', scriptArgs, { ...options, env: { TERM: 'xterm-256color', ...options.env } })
}
