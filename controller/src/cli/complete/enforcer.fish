# fish completion of enforcer; `enforcer completions fish` prints it
function __enforcer_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete -c enforcer -f -a '(__enforcer_complete)'
