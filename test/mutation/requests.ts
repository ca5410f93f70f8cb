// How requests end
import '../commit.test.ts'
import '../interleavings.test.ts'
import '../overlaps.test.ts'
import '../limits.test.ts'
import '../endings.test.ts'
