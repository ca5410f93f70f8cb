// How the plugin and its routes are set up
import '../options.test.ts'
import '../route-rules.test.ts'
import '../closing.test.ts'
import '../options-fuzz.test.ts'
