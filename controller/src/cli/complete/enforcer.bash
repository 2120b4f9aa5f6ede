# bash completion of enforcer; `enforcer completions bash` prints it
_enforcer() {
    local found
    COMPREPLY=()
    # The line as it was typed: bash itself cuts addresses at their colons, and the program knows where.
    while IFS=$'\t' read -r found _; do
        COMPREPLY+=("$found")
    done < <("${COMP_WORDS[0]}" complete --breaks="$COMP_WORDBREAKS" --line="${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    case ${#COMPREPLY[@]},${COMPREPLY[0]-} in
    1,*=) compopt -o nospace ;;
    0,*) compopt -o default ;;
    esac
}
complete -F _enforcer enforcer
