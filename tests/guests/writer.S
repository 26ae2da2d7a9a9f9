/* The lab's KVM guest: one boot block that writes pages for ever and checks each before it writes it again. It is
 * small and plain enough for a KVM that has to emulate every instruction, where no operating system would boot.
 *
 * Pages from 1 MiB to END (25 MiB) hold (number of the pass + address of the page) in their first and last words. After
 * each pass a byte goes to the serial port: '.', or '!' when a page did not hold what the pass before had left there;
 * and after each MiB a '-', a sign of life of about two milliseconds' work where every instruction is emulated.
 *
 * A VMM that starts programs in 32-bit mode begins at `flat_start`; with LINES each byte is a line, for a console that
 * shows lines.
 */
#define FIRST 0x100000
#ifndef END
#define END 0x1900000
#endif
#define PAGE 0x1000
#define LAST_WORD 0xffc
#define MIB 0x100000
#define SERIAL 0x3f8

        .macro  say
        movw    $SERIAL, %dx
        outb    %al, %dx
#ifdef LINES
        movb    $'\n', %al
        outb    %al, %dx
#endif
        .endm

        .code16
        .globl  _start
_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        inb     $0x92, %al              /* address line 20 */
        orb     $2, %al
        outb    %al, $0x92
        lgdtl   table_register
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $flat

        .code32
flat:
        movw    $16, %ax
        movw    %ax, %ds
        .globl  flat_start
flat_start:
        xorl    %esi, %esi              /* number of the pass */
        movl    $FIRST, %edi
fill:
        movl    %edi, (%edi)
        movl    %edi, LAST_WORD(%edi)
        addl    $PAGE, %edi
        cmpl    $END, %edi
        jb      fill

pass:
        movb    $'.', %cl
        movl    $FIRST, %edi
page:
        leal    (%esi, %edi), %eax
        cmpl    %eax, (%edi)
        jne     bad
        cmpl    %eax, LAST_WORD(%edi)
        jne     bad
write:
        incl    %eax
        movl    %eax, (%edi)
        movl    %eax, LAST_WORD(%edi)
        addl    $PAGE, %edi
        testl   $(MIB - 1), %edi
        jnz     within
        movb    $'-', %al
        say
within:
        cmpl    $END, %edi
        jb      page
        incl    %esi
        movb    %cl, %al
        say
        jmp     pass
bad:
        movb    $'!', %cl
        jmp     write

        .balign 8
table:
        .quad   0
        .quad   0x00cf9a000000ffff      /* code, 4 GiB */
        .quad   0x00cf92000000ffff      /* data, 4 GiB */
table_register:
        .word   . - table - 1
        .long   table

        .org    510
        .word   0xaa55
